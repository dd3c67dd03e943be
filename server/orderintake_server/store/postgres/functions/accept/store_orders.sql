-- Stores the orders that `decide` found new, and lets them wait.
CREATE FUNCTION store_orders(e commits, numbers bigint[], names text[], requests text[],
  tiers smallint[], contents bytea[], digests uuid[], not_befores bigint[], expire_times bigint[],
  redrives bigint[], traces bytea[]) RETURNS moves LANGUAGE plpgsql AS $$
DECLARE
  m moves;
  head_start bigint := (SELECT vip_head_start FROM policy);
BEGIN
  WITH fresh AS MATERIALIZED (
    SELECT DISTINCT ON (number) *, not_before > e.time AS is_later,
      rank_of(tier, number, e.accept_time, head_start) AS rank
    FROM unnest(numbers, names, requests, tiers, contents, digests, not_befores, expire_times,
        redrives, traces)
      WITH ORDINALITY AS i (number, name, request, tier, content, digest, not_before, expire_time,
        redrive_of, trace, o)
    WHERE number > e.accepted ORDER BY number, o),
  stored AS (
    INSERT INTO orders SELECT number, name, tier, rank, e.accept_time, content, request, not_before,
      expire_time, redrive_of, e.number, trace FROM fresh),
  named AS (
    INSERT INTO requests SELECT name, request, number, digest FROM fresh WHERE request IS NOT NULL),
  queued AS (INSERT INTO ready SELECT tier, rank, number, 0, 0 FROM fresh WHERE NOT is_later),
  later AS (INSERT INTO scheduled SELECT number, not_before, 0, 0 FROM fresh WHERE is_later),
  watched AS (INSERT INTO expiries SELECT expire_time, number FROM fresh WHERE expire_time > 0)
  SELECT
    ARRAY[count(*) FILTER (WHERE NOT is_later AND tier = 1),
      count(*) FILTER (WHERE NOT is_later AND tier = 2)],
    ARRAY[count(*) FILTER (WHERE is_later AND tier = 1),
      count(*) FILTER (WHERE is_later AND tier = 2)],
    ARRAY[count(*) FILTER (WHERE tier = 1), count(*) FILTER (WHERE tier = 2)],
    ARRAY[min(rank) FILTER (WHERE tier = 1), min(rank) FILTER (WHERE tier = 2)],
    least(min(not_before) FILTER (WHERE is_later), min(expire_time) FILTER (WHERE expire_time > 0))
  INTO m.queued, m.scheduled, m.accepted, m.low_water_mark, m.due FROM fresh;
  RETURN m;
END $$;
