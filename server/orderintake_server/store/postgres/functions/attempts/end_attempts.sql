-- Ends attempts whose leases are still good. states: what the order of each becomes: QUEUED, it waits
-- again, and the attempt is not counted, unless the process died in it (is_crash); SCHEDULED, it is tried
-- again after the delay; or how it ends. Where a stop was asked for and the attempt did not succeed, the
-- order is cancelled. Those after the first few (quiet) are reports of workers, which are noted.
CREATE FUNCTION end_attempts(e commits, ids bigint[], starts bigint[], states smallint[], codes bytea[],
  messages bytea[], results bytea[], delays bigint[], is_crash boolean, quiet bigint DEFAULT NULL) RETURNS moves
  LANGUAGE plpgsql AS $$
DECLARE
  m moves;
  again attempt[];
BEGIN
  WITH asked AS (
    SELECT DISTINCT ON (id, start) *
    FROM unnest(ids, starts, states, codes, messages, results, delays) WITH ORDINALITY
      AS a (id, start, state, code, message, result, delay, o)
    ORDER BY id, start, o),
  taken AS (
    DELETE FROM leases l USING asked a WHERE l.accept_sequence = a.id AND l.start_sequence = a.start
      AND (quiet IS NULL OR o <= quiet OR l.worker > 0)
    RETURNING a.*, l.attempt_count, l.crash_count, l.start_time,
      CASE WHEN l.cancel_requested AND a.state <> state_succeeded()
        THEN becomes('PROCESSING', 'CANCEL') ELSE a.state END AS now),
  over AS MATERIALIZED (
    SELECT t.*, is_waiting(t.now) AS waits, x.tier, x.rank, x.customer_id, x.expire_time
    FROM taken t JOIN orders x ON x.accept_sequence = t.id),
  logged AS (
    INSERT INTO log SELECT e.completed + row_number() OVER (ORDER BY o), id, now, attempt_count, start,
      start_time, e.time, CASE WHEN now = state_failed() THEN code END,
      CASE WHEN now = state_failed() THEN message END,
      CASE WHEN now <> state_cancelled() THEN result END, customer_id, tier, e.number
    FROM over WHERE NOT waits)
  SELECT ARRAY[-count(*) FILTER (WHERE tier = 1), -count(*) FILTER (WHERE tier = 2)],
    ARRAY[count(*) FILTER (WHERE NOT waits AND tier = 1), count(*) FILTER (WHERE NOT waits AND tier = 2)],
    array_agg(o), array_agg(now), count(*) = cardinality(ids) AND bool_and(now = state),
    array_agg((id, tier, rank, customer_id, expire_time, attempt_count - (NOT is_crash)::integer,
      attempt_count, crash_count + is_crash::integer, now, e.time + coalesce(delay, 0), start,
      o > quiet)::attempt)
      FILTER (WHERE waits)
  INTO m.processing, m.completed, m.places, m.states, m.as_asked, again FROM over;
  RETURN CASE WHEN again IS NULL THEN m ELSE wait_again(e, m, again) END;
END $$;
