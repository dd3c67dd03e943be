-- The numbers of the workers that orders go to; 0 is the replica itself.
CREATE FUNCTION numbers_of(worker_ids text[]) RETURNS bigint[] LANGUAGE sql STABLE AS $$
  SELECT array_agg(coalesce(k.number, 0) ORDER BY o)
  FROM unnest(worker_ids) WITH ORDINALITY AS n (id, o) LEFT JOIN workers k ON k.worker_id = id
$$;
