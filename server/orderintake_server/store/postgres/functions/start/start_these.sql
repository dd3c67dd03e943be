-- Starts these orders (ids), as far as they are ready. ids: those that started, in that order.
CREATE FUNCTION start_these(w work, tiers smallint[], ranks bigint[]) RETURNS work
  LANGUAGE plpgsql AS $$
DECLARE
  m moves;
BEGIN
  IF w.ids IS NOT NULL THEN
    m := claim(w.entry, tiers, ranks, w.ids);
    w.ids := m.answer;
    IF w.counts_customers THEN
      m.no_longer_waiting := ARRAY(
        SELECT o.customer_id FROM unnest(w.ids) AS i (id) JOIN orders o ON o.accept_sequence = i.id);
    END IF;
    w := apply_moves(w, m);
  END IF;
  RETURN w;
END $$;
