-- Forgets request_ids of orders that are forgotten already; returns how many.
CREATE FUNCTION prune_requests(completed_before bigint, most bigint) RETURNS bigint
  LANGUAGE sql AS $$
  DELETE FROM customers WHERE waiting = 0;
  WITH old AS (
    DELETE FROM requests WHERE (customer_id, request_id) IN (
      SELECT customer_id, request_id FROM requests
      WHERE outcome <> 0 AND complete_time < completed_before LIMIT most)
    RETURNING 1)
  SELECT count(*) FROM old;
$$;
