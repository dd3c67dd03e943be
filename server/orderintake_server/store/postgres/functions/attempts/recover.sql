-- Ends the attempts during which their process died, of replicas (sessions) or of a worker: each order
-- waits again, or ends if its attempts died too often or it was to be cancelled.
CREATE FUNCTION recover(e commits, sessions bigint[], dead bigint, max_crashes integer) RETURNS moves
  LANGUAGE plpgsql AS $$
DECLARE
  ids bigint[];
  starts bigint[];
  states smallint[];
  codes bytea[];
  messages bytea[];
BEGIN
  SELECT array_agg(accept_sequence), array_agg(start_sequence),
    array_agg(CASE WHEN crashes >= max_crashes THEN becomes('PROCESSING', 'QUARANTINE')
      ELSE becomes('PROCESSING', 'RECOVER') END),
    array_agg('QUARANTINED'::bytea),
    array_agg(convert_to(
      format('the process died during %s attempts of this order', crashes), 'UTF8'))
  INTO ids, starts, states, codes, messages
  FROM (
    SELECT accept_sequence, start_sequence, crash_count + 1 AS crashes FROM (
      SELECT * FROM leases WHERE session_id = ANY (sessions)
      UNION ALL
      SELECT * FROM leases WHERE worker = dead AND worker > 0) AS theirs ORDER BY accept_sequence) AS lost;
  RETURN end_attempts(e, ids, starts, states, codes, messages, NULL, NULL, is_crash => true);
END $$;
