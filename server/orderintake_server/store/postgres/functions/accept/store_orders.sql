-- Stores the orders that `decide` found new, and lets them wait.
CREATE FUNCTION store_orders(e commits, head_start bigint, numbers bigint[], names text[],
  requests text[], tiers smallint[], contents bytea[], digests uuid[], not_befores bigint[],
  expire_times bigint[], redrives bigint[], traces bytea[]) RETURNS moves LANGUAGE plpgsql AS $$
DECLARE
  m moves;
BEGIN
  WITH fresh AS MATERIALIZED (
    SELECT DISTINCT ON (number) number, name, request, tier, content, digest,
      coalesce(later, 0) AS not_before, coalesce(until, 0) AS expire_time,
      coalesce(redriven, 0) AS redrive_of, trace, coalesce(later, 0) > e.time AS is_later,
      rank_of(tier, number, e.accept_time, head_start) AS rank
    FROM unnest(numbers, names, requests, tiers, contents, digests, not_befores, expire_times,
        redrives, traces)
      WITH ORDINALITY AS i (number, name, request, tier, content, digest, later, until, redriven,
        trace, o)
    WHERE number > e.accepted ORDER BY number, o),
  stored AS (
    INSERT INTO orders SELECT number, name, tier, rank, e.accept_time, content, request, not_before,
      expire_time, redrive_of, e.number, trace FROM fresh),
  named AS (
    INSERT INTO requests SELECT name, request, number, digest FROM fresh WHERE request IS NOT NULL),
  queued AS (INSERT INTO ready SELECT tier, rank, number, 0, 0 FROM fresh WHERE NOT is_later)
  SELECT
    ARRAY[count(*) FILTER (WHERE NOT is_later AND tier = 1),
      count(*) FILTER (WHERE NOT is_later AND tier = 2)],
    ARRAY[count(*) FILTER (WHERE is_later AND tier = 1),
      count(*) FILTER (WHERE is_later AND tier = 2)],
    ARRAY[count(*) FILTER (WHERE tier = 1), count(*) FILTER (WHERE tier = 2)],
    ARRAY[min(rank) FILTER (WHERE tier = 1), min(rank) FILTER (WHERE tier = 2)],
    least(min(not_before) FILTER (WHERE is_later), min(expire_time) FILTER (WHERE expire_time > 0))
  INTO m.queued, m.scheduled, m.accepted, m.low_water_mark, m.due FROM fresh;
  IF m.due IS NOT NULL THEN
    PERFORM note_times(e);
  END IF;
  RETURN m;
END $$;
