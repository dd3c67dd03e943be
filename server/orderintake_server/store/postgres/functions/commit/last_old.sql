-- The last of the oldest completions that ended before a time. Times may go back with the clock: what
-- is younger stays, and all that comes after it.
CREATE FUNCTION last_old(earliest bigint, completed_before bigint, most bigint) RETURNS bigint
  LANGUAGE sql AS $$
  SELECT max(sequence) FROM (
    SELECT sequence, bool_and(complete_time < completed_before) OVER (ORDER BY sequence) AS is_old
    FROM (
      SELECT sequence, complete_time FROM log WHERE sequence > earliest
      ORDER BY sequence LIMIT most) AS first) AS old
  WHERE is_old
$$;
