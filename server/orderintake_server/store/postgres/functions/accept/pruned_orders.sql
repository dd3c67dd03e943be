-- What became of those orders that request_ids name but that were pruned, by their numbers.
CREATE FUNCTION pruned_orders(names text[], requests text[]) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  RETURN (
    SELECT jsonb_object_agg(q.accept_sequence,
      jsonb_build_array(q.outcome, q.accept_time, q.complete_time))
    FROM unnest(names, requests) AS i (name, request)
    JOIN requests q ON q.customer_id = i.name AND q.request_id = i.request
    WHERE q.outcome <> 0);
END $$;
