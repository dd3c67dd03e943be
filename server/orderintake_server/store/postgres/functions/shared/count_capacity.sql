-- Counts the slots of the workers that live.
CREATE FUNCTION count_capacity(w work) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
BEGIN
  e.capacity := (SELECT coalesce(sum(capacity), 0) FROM workers WHERE ended_at = 0);
  w.entry := e;
  RETURN w;
END $$;
