-- Counts orders of customers that begin to wait (+1), or cease to (-1).
CREATE FUNCTION count_customers(names text[], sign integer) RETURNS void LANGUAGE sql AS $$
  INSERT INTO customers AS c SELECT name, sign * count(*) FROM unnest(names) AS name GROUP BY name
  ON CONFLICT (customer_id) DO UPDATE SET waiting = c.waiting + excluded.waiting
$$;
