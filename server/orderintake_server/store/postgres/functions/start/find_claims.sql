-- Finds those of the orders asked for that are ready, in the order asked for. holders: who gets each,
-- [worker_id, call], or null for the replica itself; NULL: it gets all.
CREATE FUNCTION find_claims(w work, claims jsonb, holders jsonb) RETURNS work LANGUAGE plpgsql AS $$
BEGIN
  SELECT array_agg(r.ctid ORDER BY c.o), array_agg(r.accept_sequence ORDER BY c.o),
    array_agg(coalesce(holders -> (c.o - 1)::integer ->> 0, '') ORDER BY c.o),
    array_agg(coalesce((holders -> (c.o - 1)::integer ->> 1)::bigint, 0) ORDER BY c.o)
  INTO w.places, w.ids, w.worker_ids, w.calls
  FROM jsonb_array_elements_text(claims) WITH ORDINALITY AS c (id, o)
  JOIN orders x ON x.accept_sequence = c.id::bigint
  JOIN ready r ON r.tier = x.tier AND r.rank = x.rank AND r.accept_sequence = x.accept_sequence;
  w.worker_ids := CASE WHEN holders IS NOT NULL THEN w.worker_ids END;
  RETURN w;
END $$;
