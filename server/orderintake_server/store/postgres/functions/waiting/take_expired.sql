-- Takes out the entries whose expire_time has come, at most a thousand; returns their orders, which
-- may wait or not, in the order of their times.
CREATE FUNCTION take_expired(e commits) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
  ids bigint[];
BEGIN
  WITH first AS MATERIALIZED (
    SELECT expire_time, accept_sequence FROM expiries
    WHERE expire_time BETWEEN e.due_low_water_mark AND e.time
    ORDER BY expire_time, accept_sequence LIMIT 1000),
  over AS (
    DELETE FROM expiries x USING first f
    WHERE x.expire_time = f.expire_time AND x.accept_sequence = f.accept_sequence
    RETURNING x.expire_time, x.accept_sequence)
  SELECT array_agg(accept_sequence ORDER BY expire_time, accept_sequence) INTO ids FROM over;
  RETURN ids;
END $$;
