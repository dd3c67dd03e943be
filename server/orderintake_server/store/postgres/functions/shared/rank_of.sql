-- How urgent an order is, the least rank first: domain.Ranking, in SQL. vip_head_start NULL: strictly.
CREATE FUNCTION rank_of(tier smallint, accept_sequence bigint, accept_time bigint,
  vip_head_start bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN vip_head_start IS NULL
    THEN ((tier = 1)::integer::bigint << 56) | accept_sequence
    ELSE accept_time + (tier = 1)::integer * vip_head_start END
$$;
