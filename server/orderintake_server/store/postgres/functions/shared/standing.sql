-- Where orders stand, and since when. (STABLE, so that it becomes a part of the query that calls it.)
CREATE FUNCTION standing(what smallint, ids bigint[]) RETURNS SETOF answer
  LANGUAGE sql STABLE AS $$
  SELECT what, NULL::jsonb, o.accept_sequence, o.customer_id, o.tier, o.content, o.accept_time,
    o.not_before, o.expire_time, o.redrive_of, o.trace, r.attempt_count, s.attempt_count,
    l.attempt_count, l.start_sequence, l.start_time, g.sequence, g.outcome, g.attempt_count,
    g.start_sequence, g.start_time, g.complete_time, g.failure_code, g.failure_message, g.result,
    coalesce(r.crash_count, s.crash_count, l.crash_count)
  FROM unnest(ids) WITH ORDINALITY AS i (id, o)
  JOIN orders o ON o.accept_sequence = i.id
  LEFT JOIN ready r ON r.tier = o.tier AND r.rank = o.rank
    AND r.accept_sequence = o.accept_sequence
  LEFT JOIN scheduled s ON s.accept_sequence = o.accept_sequence
  LEFT JOIN leases l ON l.accept_sequence = o.accept_sequence
  LEFT JOIN log g ON g.accept_sequence = o.accept_sequence
  ORDER BY i.o
$$;
