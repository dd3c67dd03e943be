-- Queues orders whose time has come.
CREATE FUNCTION fall_due(ids bigint[]) RETURNS moves LANGUAGE plpgsql AS $$
DECLARE
  m moves;
BEGIN
  WITH due AS (
    DELETE FROM scheduled s USING unnest(ids) AS i (id) WHERE s.accept_sequence = i.id
    RETURNING s.accept_sequence, s.attempt_count, s.crash_count),
  found AS (
    SELECT d.*, o.tier, o.rank FROM due d JOIN orders o ON o.accept_sequence = d.accept_sequence),
  queued AS (
    INSERT INTO ready SELECT tier, rank, accept_sequence, attempt_count, crash_count FROM found)
  SELECT
    ARRAY[count(*) FILTER (WHERE tier = 1), count(*) FILTER (WHERE tier = 2)],
    ARRAY[-count(*) FILTER (WHERE tier = 1), -count(*) FILTER (WHERE tier = 2)],
    ARRAY[min(rank) FILTER (WHERE tier = 1), min(rank) FILTER (WHERE tier = 2)]
  INTO m.queued, m.scheduled, m.low_water_mark FROM found;
  RETURN m;
END $$;
