-- Starts the orders in these places of the queue, in this order. The answer is those that started.
CREATE FUNCTION claim(e commits, places tid[]) RETURNS moves LANGUAGE plpgsql AS $$
DECLARE
  m moves;
BEGIN
  WITH gone AS (
    DELETE FROM ready r USING unnest(places) WITH ORDINALITY AS p (place, o) WHERE r.ctid = p.place
    RETURNING p.o, r.tier, r.accept_sequence, r.attempt_count, r.crash_count),
  started AS MATERIALIZED (
    SELECT *, e.started + row_number() OVER (ORDER BY o) AS start FROM gone),
  leased AS (
    INSERT INTO leases SELECT accept_sequence, e.session_id, attempt_count + 1, crash_count, start,
      e.time FROM started),
  noted AS (
    INSERT INTO starts SELECT accept_sequence, start, e.time, e.number FROM started)
  SELECT
    ARRAY[-count(*) FILTER (WHERE tier = 1), -count(*) FILTER (WHERE tier = 2)],
    ARRAY[count(*) FILTER (WHERE tier = 1), count(*) FILTER (WHERE tier = 2)],
    count(*), array_agg(accept_sequence ORDER BY o)
  INTO m.queued, m.processing, m.started, m.answer FROM started;
  RETURN m;
END $$;
