-- The most urgent orders after a place in the queue, of tiers that are not paused.
CREATE FUNCTION page(e commits, asked jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  after_rank bigint := asked ->> 'rank';
  after_number bigint := asked ->> 'number';
  most bigint := asked ->> 'limit';
BEGIN
  RETURN (
    SELECT jsonb_agg(jsonb_build_array(rank, accept_sequence, tier, crash_count)
      ORDER BY rank, accept_sequence)
    FROM (
      (SELECT * FROM ready WHERE tier = 1 AND NOT e.paused[1]
          AND (rank, accept_sequence) > (after_rank, after_number)
        ORDER BY tier, rank, accept_sequence LIMIT most)
      UNION ALL
      (SELECT * FROM ready WHERE tier = 2 AND NOT e.paused[2]
          AND (rank, accept_sequence) > (after_rank, after_number)
        ORDER BY tier, rank, accept_sequence LIMIT most)
      ORDER BY rank, accept_sequence LIMIT most) AS found);
END $$;
