-- Takes away the leases of attempts that are over, where they are still good, and tells what their
-- orders become. Where a stop was asked for and the attempt did not succeed, the order is cancelled.
CREATE FUNCTION take_leases(e commits, ids bigint[], starts bigint[], states smallint[], codes bytea[],
  messages bytea[], results bytea[], delays bigint[]) RETURNS SETOF attempt LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY
  WITH asked AS (
    SELECT DISTINCT ON (id, start) *
    FROM unnest(ids, starts, states, codes, messages, results, delays) WITH ORDINALITY
      AS a (id, start, state, code, message, result, delay, o)
    ORDER BY id, start, o),
  taken AS (
    DELETE FROM leases l USING asked a WHERE l.accept_sequence = a.id AND l.start_sequence = a.start
    RETURNING a.o, l.accept_sequence, l.attempt_count, l.crash_count, l.start_sequence, l.start_time,
      CASE WHEN l.cancel_requested AND a.state <> state_succeeded()
        THEN becomes('PROCESSING', 'CANCEL') ELSE a.state END AS state,
      e.time + a.delay AS due, a.code, a.message, a.result)
  SELECT t.o, t.accept_sequence, x.tier, x.rank, x.customer_id, x.expire_time,
    t.attempt_count, t.crash_count, t.start_sequence, t.start_time,
    t.state, is_waiting(t.state), t.due,
    CASE WHEN t.state = state_failed() THEN t.code END,
    CASE WHEN t.state = state_failed() THEN t.message END,
    CASE WHEN t.state <> state_cancelled() THEN t.result END
  FROM taken t JOIN orders x ON x.accept_sequence = t.accept_sequence;
END $$;
