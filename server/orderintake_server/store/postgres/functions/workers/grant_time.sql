-- Leaves every attempt of a worker five seconds at the least: nobody may have been there to hear its end.
CREATE FUNCTION grant_time(w work) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
BEGIN
  UPDATE leases SET deadline = e.time + 5000000 WHERE deadline > 0 AND deadline < e.time + 5000000;
  e.next_deadline := (SELECT deadline FROM leases WHERE deadline > 0 ORDER BY deadline LIMIT 1);
  w.entry := e;
  RETURN w;
END $$;
