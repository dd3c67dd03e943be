-- Forgets completions and their orders; their request_ids tell from now on what became of them.
CREATE FUNCTION prune_orders(earliest bigint, last bigint) RETURNS void LANGUAGE sql AS $$
  UPDATE requests q
  SET outcome = g.outcome, accept_time = o.accept_time, complete_time = g.complete_time
  FROM log g JOIN orders o ON o.accept_sequence = g.accept_sequence
  WHERE g.sequence > earliest AND g.sequence <= last
    AND q.customer_id = o.customer_id AND q.request_id = o.request_id;
  WITH gone AS (
    DELETE FROM log g WHERE g.sequence > earliest AND g.sequence <= last
    RETURNING g.accept_sequence),
  orders_gone AS (
    DELETE FROM orders o USING gone WHERE o.accept_sequence = gone.accept_sequence),
  starts_gone AS (
    DELETE FROM starts s USING gone WHERE s.accept_sequence = gone.accept_sequence
    RETURNING s.start_sequence)
  DELETE FROM ends x USING starts_gone s WHERE x.start_sequence = s.start_sequence;
$$;
