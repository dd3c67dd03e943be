-- The most urgent orders that may start, as many as asked for at the most. An order that is to be run
-- alone (crashes >= alone) is given only to a replica that has nothing in process, and with no other.
-- (STABLE, so that it becomes a part of the query that calls it.)
CREATE FUNCTION most_urgent(e commits, most bigint, alone integer, is_idle boolean)
  RETURNS TABLE (place tid, tier smallint, rank bigint, id bigint) LANGUAGE sql STABLE AS $$
  SELECT place, tier, rank, id FROM (
    SELECT *, row_number() OVER w AS o, count(*) FILTER (WHERE crash_count >= alone) OVER w AS suspects
    FROM front(e, most)
    WINDOW w AS (ORDER BY rank, id)) AS seen
  WHERE suspects = 0 OR (o = 1 AND is_idle) ORDER BY rank, id
$$;
