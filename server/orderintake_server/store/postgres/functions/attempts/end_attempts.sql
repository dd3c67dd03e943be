-- Ends attempts. states: what the order of each becomes: QUEUED, it waits again, and the attempt is not
-- counted, unless the process died in it (is_crash); SCHEDULED, it is tried again after the delay; or
-- how it ends. The answer is how each stands now, NULL where the lease was good no longer.
CREATE FUNCTION end_attempts(e commits, ids bigint[], starts bigint[], states smallint[], codes bytea[],
  messages bytea[], results bytea[], delays bigint[], is_crash boolean) RETURNS moves
  LANGUAGE plpgsql AS $$
DECLARE
  m moves;
BEGIN
  WITH over AS MATERIALIZED (
    SELECT *, state = state_queued() AS q, state = state_scheduled() AS s
    FROM take_leases(e, ids, starts, states, codes, messages, results, delays)),
  logged AS (
    INSERT INTO log SELECT e.completed + row_number() OVER (ORDER BY o), accept_sequence, state,
      attempt_count, start_sequence, start_time, e.time, failure_code, failure_message, result,
      customer_id, tier, e.number FROM over WHERE NOT is_waiting),
  queued AS (
    INSERT INTO ready SELECT tier, rank, accept_sequence, attempt_count - (NOT is_crash)::integer,
      crash_count + is_crash::integer FROM over WHERE q),
  later AS (
    INSERT INTO scheduled SELECT accept_sequence, due, attempt_count, crash_count FROM over WHERE s),
  watched AS (
    INSERT INTO expiries SELECT expire_time, accept_sequence
    FROM over WHERE is_waiting AND expire_time > 0 ON CONFLICT DO NOTHING)
  SELECT
    ARRAY[count(*) FILTER (WHERE q AND tier = 1), count(*) FILTER (WHERE q AND tier = 2)],
    ARRAY[count(*) FILTER (WHERE s AND tier = 1), count(*) FILTER (WHERE s AND tier = 2)],
    ARRAY[-count(*) FILTER (WHERE tier = 1), -count(*) FILTER (WHERE tier = 2)],
    ARRAY[count(*) FILTER (WHERE NOT is_waiting AND tier = 1),
      count(*) FILTER (WHERE NOT is_waiting AND tier = 2)],
    ARRAY[min(rank) FILTER (WHERE q AND tier = 1), min(rank) FILTER (WHERE q AND tier = 2)],
    least(min(due) FILTER (WHERE s), min(expire_time) FILTER (WHERE is_waiting AND expire_time > 0)),
    array_agg(customer_id) FILTER (WHERE is_waiting),
    (SELECT array_agg(now ORDER BY o) FROM (SELECT o, max(state) AS now FROM (
      SELECT o, state FROM over UNION ALL SELECT o, NULL FROM generate_subscripts(ids, 1) AS o) AS t
      GROUP BY o) AS told)
  INTO m.queued, m.scheduled, m.processing, m.completed, m.low_water_mark, m.due, m.waiting, m.answer
  FROM over;
  RETURN m;
END $$;
