-- Lets the orders of attempts that are over wait again: in the queue, or for the next attempt. What
-- workers reported is noted, for nothing else tells of it.
CREATE FUNCTION wait_again(e commits, m moves, again attempt[]) RETURNS moves LANGUAGE plpgsql AS $$
BEGIN
  WITH over AS MATERIALIZED (SELECT *, state = state_queued() AS q FROM unnest(again)),
  queued AS (
    INSERT INTO ready SELECT tier, rank, accept_sequence, uncounted, crash_count FROM over WHERE q),
  later AS (
    INSERT INTO scheduled SELECT accept_sequence, due, attempt_count, crash_count
    FROM over WHERE NOT q),
  noted AS (INSERT INTO ends SELECT start_sequence, state, e.time FROM over WHERE is_report),
  watched AS (
    INSERT INTO expiries SELECT expire_time, accept_sequence
    FROM over WHERE expire_time > 0 ON CONFLICT DO NOTHING)
  SELECT
    ARRAY[count(*) FILTER (WHERE q AND tier = 1), count(*) FILTER (WHERE q AND tier = 2)],
    ARRAY[count(*) FILTER (WHERE NOT q AND tier = 1), count(*) FILTER (WHERE NOT q AND tier = 2)],
    ARRAY[min(rank) FILTER (WHERE q AND tier = 1), min(rank) FILTER (WHERE q AND tier = 2)],
    least(min(due) FILTER (WHERE NOT q), min(expire_time) FILTER (WHERE expire_time > 0)),
    array_agg(customer_id)
  INTO m.queued, m.scheduled, m.low_water_mark, m.due, m.waiting FROM over;
  RETURN m;
END $$;
