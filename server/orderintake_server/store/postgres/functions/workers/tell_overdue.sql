-- Tells which attempts of workers should be over by now, 256 at the most. Whoever hears it ends them; in
-- case it does not, they are told again after five seconds. expected: what the clock says at the most if
-- it has not leapt: no attempt is over by a leap.
CREATE FUNCTION tell_overdue(w work, p jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
  late jsonb;
BEGIN
  WITH over AS MATERIALIZED (
    SELECT * FROM leases
    WHERE deadline > 0 AND deadline <= least(e.time, (p ->> 'expected')::bigint)
    ORDER BY deadline, accept_sequence LIMIT 256),
  put_off AS (
    UPDATE leases l SET deadline = e.time + 5000000 FROM over o
    WHERE l.accept_sequence = o.accept_sequence)
  SELECT jsonb_agg(jsonb_build_array(o.accept_sequence, o.start_sequence, x.tier, o.attempt_count,
    o.crash_count, k.worker_id)) INTO late
  FROM over o JOIN orders x ON x.accept_sequence = o.accept_sequence
  JOIN workers k ON k.number = o.worker;
  e.next_deadline := (SELECT deadline FROM leases WHERE deadline > 0 ORDER BY deadline LIMIT 1);
  w.entry := e;
  IF late IS NOT NULL THEN
    w.summary := w.summary || jsonb_build_object('late', late);
  END IF;
  RETURN w;
END $$;
