-- Counts the new orders of a group, by customer; those that have a key are new. Where more orders of a
-- customer would wait than may, counts nothing and returns the refusal.
CREATE FUNCTION count_new(asked integer, names text[], keys integer[], capacity jsonb) RETURNS jsonb
  LANGUAGE plpgsql AS $$
DECLARE
  who record;
BEGIN
  SELECT i.name, count(*) AS orders INTO who
  FROM unnest(names, keys) WITH ORDINALITY AS i (name, key, o)
  LEFT JOIN customers c ON c.customer_id = i.name
  WHERE i.key IS NOT NULL
  GROUP BY i.name, c.waiting
  HAVING coalesce(c.waiting, 0) + count(*) > (capacity ->> 'per_customer')::bigint
  ORDER BY min(i.o) LIMIT 1;
  IF FOUND THEN
    RETURN jsonb_build_array(asked, 'capacity', who.orders, who.name);
  END IF;
  PERFORM count_customers(array_agg(i.name), +1)
  FROM unnest(names, keys) AS i (name, key) WHERE i.key IS NOT NULL;
  RETURN NULL;
END $$;
