-- Starts orders that are ready, in the order given. The answer is those that started.
CREATE FUNCTION claim(e commits, tiers smallint[], ranks bigint[], ids bigint[]) RETURNS moves
  LANGUAGE plpgsql AS $$
DECLARE
  m moves;
BEGIN
  WITH asked AS MATERIALIZED (
    SELECT DISTINCT ON (accept_sequence) * FROM unnest(tiers, ranks, ids) WITH ORDINALITY
      AS p (tier, rank, accept_sequence, o) ORDER BY accept_sequence, o),
  gone AS (
    DELETE FROM ready r USING asked a
    WHERE r.tier = a.tier AND r.rank = a.rank AND r.accept_sequence = a.accept_sequence
    RETURNING a.o, r.*),
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
