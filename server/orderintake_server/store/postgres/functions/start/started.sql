-- How orders stand that have just started. (STABLE, so that it becomes a part of the query that calls it.)
CREATE FUNCTION started(ids bigint[]) RETURNS SETOF answer LANGUAGE sql STABLE AS $$
  SELECT 2::smallint, NULL::jsonb, o.accept_sequence, o.customer_id, o.tier, o.content, o.accept_time,
    o.not_before, o.expire_time, o.redrive_of, o.trace, NULL::integer, NULL::integer,
    l.attempt_count, l.start_sequence, l.start_time, NULL::bigint, NULL::smallint, NULL::integer,
    NULL::bigint, NULL::bigint, NULL::bigint, NULL::bytea, NULL::bytea, NULL::bytea, l.crash_count
  FROM unnest(ids) WITH ORDINALITY AS i (id, o)
  JOIN orders o ON o.accept_sequence = i.id
  JOIN leases l ON l.accept_sequence = i.id
  ORDER BY i.o
$$;
