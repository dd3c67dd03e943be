-- Does what `claim` does, where workers get some of the orders: whose each is, 0 for the replica itself, and
-- by which call. p tells after how many microseconds an attempt of a worker has to be over, and from how many
-- crashes on it has to be alone. (Apart from `claim`, which most orders go through.)
CREATE FUNCTION lend(e commits, places tid[], workers bigint[], calls bigint[], p jsonb) RETURNS moves
  LANGUAGE plpgsql AS $$
DECLARE
  m moves;
  most bigint := p ->> 'attempt_limit';
  alone integer := nullif((p ->> 'max_crashes')::integer, 1) - 1;
BEGIN
  WITH gone AS (
    DELETE FROM ready r
    USING unnest(places, workers, calls) WITH ORDINALITY AS p (place, worker, call, o)
    WHERE r.ctid = p.place
    RETURNING p.o, p.worker, p.call, r.tier, r.accept_sequence, r.attempt_count, r.crash_count),
  started AS MATERIALIZED (
    SELECT *, e.started + row_number() OVER (ORDER BY o) AS start,
      CASE WHEN worker > 0 AND most > 0 THEN e.time + most ELSE 0 END AS deadline
    FROM gone),
  leased AS (
    INSERT INTO leases SELECT accept_sequence, CASE WHEN worker > 0 THEN 0 ELSE e.session_id END,
      attempt_count + 1, crash_count, start, e.time, false, worker, call, deadline,
      worker > 0 AND coalesce(crash_count >= alone, false) FROM started),
  noted AS (
    INSERT INTO starts SELECT accept_sequence, start, e.time, e.number FROM started)
  SELECT
    ARRAY[-count(*) FILTER (WHERE tier = 1), -count(*) FILTER (WHERE tier = 2)],
    ARRAY[count(*) FILTER (WHERE tier = 1), count(*) FILTER (WHERE tier = 2)],
    count(*), array_agg(accept_sequence ORDER BY o), min(deadline) FILTER (WHERE deadline > 0)
  INTO m.queued, m.processing, m.started, m.answer, m.deadline FROM started;
  RETURN m;
END $$;
