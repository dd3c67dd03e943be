-- The first of the queue, whoever may start them. (STABLE, so that it becomes a part of the query that
-- calls it.)
CREATE FUNCTION front(e commits, most bigint)
  RETURNS TABLE (place tid, tier smallint, rank bigint, id bigint, crash_count integer)
  LANGUAGE sql STABLE AS $$
  SELECT place, tier, rank, accept_sequence, crash_count FROM (
    (SELECT ctid AS place, tier, rank, accept_sequence, crash_count FROM ready
      WHERE tier = 1 AND rank >= e.low_water_mark[1] AND NOT e.paused[1]
      ORDER BY tier, rank, accept_sequence LIMIT most)
    UNION ALL
    (SELECT ctid AS place, tier, rank, accept_sequence, crash_count FROM ready
      WHERE tier = 2 AND rank >= e.low_water_mark[2] AND NOT e.paused[2]
      ORDER BY tier, rank, accept_sequence LIMIT most)) AS first
  ORDER BY rank, accept_sequence LIMIT most
$$;
