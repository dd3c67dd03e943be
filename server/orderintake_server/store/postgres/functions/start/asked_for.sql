-- Those of the orders asked for that are ready, in the order asked for.
CREATE FUNCTION asked_for(claims jsonb) RETURNS TABLE (place tid, id bigint) LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY SELECT r.ctid, r.accept_sequence
  FROM jsonb_array_elements_text(claims) WITH ORDINALITY AS c (id, o)
  JOIN orders x ON x.accept_sequence = c.id::bigint
  JOIN ready r ON r.tier = x.tier AND r.rank = x.rank AND r.accept_sequence = x.accept_sequence
  ORDER BY c.o;
END $$;
