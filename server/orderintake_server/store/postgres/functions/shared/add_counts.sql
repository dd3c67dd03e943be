-- Adds counts of each tier; NULL stands for none.
CREATE FUNCTION add_counts(a bigint[], b bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN b IS NULL THEN a ELSE ARRAY[a[1] + b[1], a[2] + b[2]] END
$$;
