-- Starts the orders that were found (ids) as far as they still are there. ids: those that started, in that
-- order.
CREATE FUNCTION start_these(w work, p jsonb) RETURNS work
  LANGUAGE plpgsql AS $$
DECLARE
  m moves;
BEGIN
  IF cardinality(w.places) > 0 THEN
    IF w.worker_ids IS NULL THEN
      m := claim(w.entry, w.places);
    ELSE
      w := know_workers(w, p);
      m := lend(w.entry, w.places, numbers_of(w.worker_ids), w.calls, p);
    END IF;
    w.ids := m.answer;
    IF w.counts_customers THEN
      m.no_longer_waiting := ARRAY(
        SELECT o.customer_id FROM unnest(w.ids) AS i (id) JOIN orders o ON o.accept_sequence = i.id);
    END IF;
    w := apply_moves(w, m);
  END IF;
  RETURN w;
END $$;
