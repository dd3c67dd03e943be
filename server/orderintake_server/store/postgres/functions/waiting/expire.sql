-- Expires what is over, wherever it waits: a thousand orders at the most.
CREATE FUNCTION expire(w work) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  ids bigint[] := take_expired(w.entry);
BEGIN
  IF ids IS NOT NULL THEN
    w := apply_moves(w, end_waiting(w.entry, ids, becomes('QUEUED', 'EXPIRE')));
  END IF;
  RETURN w;
END $$;
