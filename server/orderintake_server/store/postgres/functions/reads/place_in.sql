-- How many orders of a tier stand in the queue before a place and at it.
CREATE FUNCTION place_in(asked smallint, last_rank bigint, last_n bigint) RETURNS bigint
  LANGUAGE plpgsql STABLE AS $$
DECLARE
  e commits;
  tail bigint;
BEGIN
  SELECT * INTO e FROM commits ORDER BY number DESC LIMIT 1;
  SELECT rank INTO tail FROM ready WHERE tier = asked ORDER BY tier DESC, rank DESC LIMIT 1;
  IF last_rank - e.low_water_mark[asked] <= tail - last_rank THEN
    RETURN (SELECT count(*) FROM ready WHERE tier = asked AND rank >= e.low_water_mark[asked]
      AND (rank, accept_sequence) <= (last_rank, last_n));
  END IF;
  RETURN e.queued[asked] - (
    SELECT count(*) FROM ready WHERE tier = asked AND (rank, accept_sequence) > (last_rank, last_n));
END $$;
