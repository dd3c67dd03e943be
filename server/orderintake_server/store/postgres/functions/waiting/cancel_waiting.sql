-- Cancels those of these orders that wait, and records each; asked are [orders, who]. The summary tells
-- how many of each tier each of asked cancelled.
CREATE FUNCTION cancel_waiting(w work, asked jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  a jsonb;
  i record;
  m moves;
  counts jsonb := '[]';
BEGIN
  IF asked IS NULL THEN
    RETURN w;
  END IF;
  FOR a IN SELECT jsonb_array_elements(asked) LOOP
    m := end_waiting(w.entry, ARRAY(SELECT jsonb_array_elements_text(a -> 0)::bigint),
      becomes('QUEUED', 'CANCEL'));
    FOR i IN
      SELECT accept_sequence FROM log WHERE sequence > (w.entry).completed ORDER BY accept_sequence
    LOOP
      PERFORM record_action(w.entry, a -> 1, action_cancel_order(), 0, i.accept_sequence,
        '{"outcome": "CANCELLED"}');
    END LOOP;
    counts := counts || jsonb_build_array(to_jsonb(m.completed));
    w := apply_moves(w, m);
  END LOOP;
  w.summary := w.summary || jsonb_build_object('cancelled_waiting', counts);
  RETURN w;
END $$;
