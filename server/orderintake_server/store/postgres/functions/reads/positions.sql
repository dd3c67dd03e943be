-- The places in the queue, from 1, of those of the orders that are in it. The last one's is counted,
-- each tier from its nearer end as far as its ranks tell: most orders that are asked for came just now.
-- The others' follow from how many stand between one and the next.
CREATE FUNCTION positions(ids bigint[]) RETURNS TABLE (id bigint, place bigint)
  LANGUAGE plpgsql STABLE
  SET search_path FROM CURRENT
  SET jit = off
  SET plan_cache_mode = force_generic_plan  -- it goes by the queue's index, whatever statistics say
  SET enable_seqscan = off
  SET enable_bitmapscan = off
  SET enable_hashjoin = off
  SET enable_mergejoin = off
AS $$
BEGIN
  RETURN QUERY
  WITH me AS MATERIALIZED (
    SELECT r.rank, r.accept_sequence AS n, lag(r.rank) OVER w AS previous_rank,
      lag(r.accept_sequence) OVER w AS previous_n, row_number() OVER w AS o
    FROM unnest(ids) AS i (n) JOIN orders x ON x.accept_sequence = i.n
    JOIN ready r ON r.tier = x.tier AND r.rank = x.rank AND r.accept_sequence = x.accept_sequence
    WINDOW w AS (ORDER BY r.rank, r.accept_sequence)),
  last AS MATERIALIZED (SELECT * FROM me ORDER BY me.o DESC LIMIT 1),
  up_to_last AS MATERIALIZED (
    SELECT sum(place_in(t::smallint, last.rank, last.n))::bigint AS count
    FROM last, generate_series(1, 2) AS t),
  gaps AS (
    SELECT me.n, me.o, (SELECT count(*) FROM ready r WHERE r.tier = 1
        AND (r.rank, r.accept_sequence) > (me.previous_rank, me.previous_n)
        AND (r.rank, r.accept_sequence) <= (me.rank, me.n))
      + (SELECT count(*) FROM ready r WHERE r.tier = 2
        AND (r.rank, r.accept_sequence) > (me.previous_rank, me.previous_n)
        AND (r.rank, r.accept_sequence) <= (me.rank, me.n)) AS gap
    FROM me)
  SELECT g.n, u.count - coalesce(sum(g.gap) OVER (
    ORDER BY g.o DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::bigint
  FROM gaps g, up_to_last u;
END $$;
