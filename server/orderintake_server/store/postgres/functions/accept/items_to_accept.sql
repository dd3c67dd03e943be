-- The orders that are to be accepted, in their order, each with what its request_id names already.
-- key: the first one with the same customer and request_id.
CREATE FUNCTION items_to_accept(names text[], requests text[], tiers smallint[], digests uuid[])
  RETURNS TABLE (o integer, key integer, request text, tier smallint, digest uuid, held bigint,
    held_digest uuid)
  LANGUAGE sql STABLE AS $$
  SELECT i.o::integer, CASE WHEN i.request IS NULL THEN i.o ELSE
      first_value(i.o) OVER (PARTITION BY i.name COLLATE "C", i.request COLLATE "C" ORDER BY i.o) END::integer,
    i.request, i.tier, i.digest, q.accept_sequence, q.digest
  FROM unnest(names, requests, tiers, digests) WITH ORDINALITY AS i (name, request, tier, digest, o)
  LEFT JOIN requests q ON q.customer_id = i.name AND q.request_id = i.request
  ORDER BY i.o
$$;
