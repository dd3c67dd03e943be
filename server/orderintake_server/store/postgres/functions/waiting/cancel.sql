-- Cancels orders, each with who asks if an operator does: those that wait end, of those in process the
-- attempt is asked to stop.
CREATE FUNCTION cancel(w work, cancels jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
  completed bigint := e.completed;
  stopping bigint[];
BEGIN
  w.ids := ARRAY(SELECT (asked ->> 0)::bigint FROM jsonb_array_elements(cancels) AS a (asked));
  w := apply_moves(w, end_waiting(e, w.ids, becomes('QUEUED', 'CANCEL')));
  WITH asked AS (
    UPDATE leases SET cancel_requested = true
    WHERE accept_sequence = ANY (w.ids) AND NOT cancel_requested
    RETURNING accept_sequence)
  SELECT array_agg(accept_sequence) INTO stopping FROM asked;
  IF stopping IS NOT NULL THEN
    e := w.entry;
    e.cancels := e.cancels + 1;
    w.entry := e;
    w.summary := w.summary || jsonb_build_object('told_workers', (
      SELECT coalesce(jsonb_agg(DISTINCT k.worker_id), '[]') || coalesce(w.summary -> 'told_workers', '[]')
      FROM leases l JOIN workers k ON k.number = l.worker WHERE l.accept_sequence = ANY (stopping)));
  END IF;
  PERFORM record_cancels(w.entry, cancels, stopping, completed);
  RETURN w;
END $$;
