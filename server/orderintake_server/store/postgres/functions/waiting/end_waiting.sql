-- Ends orders that wait, wherever they do, and no others. outcome: the State they end in.
CREATE FUNCTION end_waiting(e commits, ids bigint[], outcome smallint) RETURNS moves
  LANGUAGE plpgsql AS $$
DECLARE
  m moves;
BEGIN
  WITH asked AS (
    SELECT id, min(o) AS o FROM unnest(ids) WITH ORDINALITY AS a (id, o) GROUP BY id),
  meant AS MATERIALIZED (
    SELECT a.o, x.accept_sequence, x.tier, x.rank, x.customer_id
    FROM asked a JOIN orders x ON x.accept_sequence = a.id),
  queued AS (
    DELETE FROM ready r USING meant w
    WHERE r.tier = w.tier AND r.rank = w.rank AND r.accept_sequence = w.accept_sequence
    RETURNING 1 AS place, w.o, w.accept_sequence, w.tier, w.customer_id, r.attempt_count),
  scheduled AS (
    DELETE FROM scheduled s USING meant w WHERE s.accept_sequence = w.accept_sequence
    RETURNING 2 AS place, w.o, w.accept_sequence, w.tier, w.customer_id, s.attempt_count),
  found AS (SELECT * FROM queued UNION ALL SELECT * FROM scheduled),
  logged AS (
    INSERT INTO log SELECT e.completed + row_number() OVER (ORDER BY place, o), accept_sequence,
      outcome, attempt_count, 0, 0, e.time, NULL, NULL, NULL, customer_id, tier, e.number
    FROM found)
  SELECT
    ARRAY[-count(*) FILTER (WHERE place = 1 AND tier = 1),
      -count(*) FILTER (WHERE place = 1 AND tier = 2)],
    ARRAY[-count(*) FILTER (WHERE place = 2 AND tier = 1),
      -count(*) FILTER (WHERE place = 2 AND tier = 2)],
    ARRAY[count(*) FILTER (WHERE tier = 1), count(*) FILTER (WHERE tier = 2)],
    array_agg(customer_id)
  INTO m.queued, m.scheduled, m.completed, m.no_longer_waiting FROM found;
  RETURN m;
END $$;
