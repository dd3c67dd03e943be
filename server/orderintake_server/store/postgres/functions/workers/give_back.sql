-- Ends all attempts of a worker; they are not counted.
CREATE FUNCTION give_back(e commits, number bigint) RETURNS moves LANGUAGE plpgsql AS $$
DECLARE
  ids bigint[];
  starts bigint[];
  states smallint[];
BEGIN
  SELECT array_agg(accept_sequence), array_agg(start_sequence), array_agg(becomes('PROCESSING', 'RELEASE'))
  INTO ids, starts, states
  FROM (
    SELECT * FROM leases WHERE worker = number AND worker > 0 ORDER BY accept_sequence) AS theirs;
  RETURN end_attempts(e, ids, starts, states, NULL, NULL, NULL, NULL, is_crash => false);
END $$;
