-- Ends those of the orders (ids) whose expire_time has come; they wait no more, and cannot start.
CREATE FUNCTION expire_some(w work) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  ids bigint[] := ARRAY(
    SELECT i.id FROM unnest(w.ids) WITH ORDINALITY AS i (id, o)
    JOIN orders x ON x.accept_sequence = i.id
    WHERE x.expire_time > 0 AND x.expire_time <= (w.entry).time ORDER BY i.o);
BEGIN
  IF cardinality(ids) > 0 THEN
    w := apply_moves(w, end_waiting(w.entry, ids, becomes('QUEUED', 'EXPIRE')));
  END IF;
  RETURN w;
END $$;
