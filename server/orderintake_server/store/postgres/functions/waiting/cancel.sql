-- Cancels orders: those that wait end, of those in process the attempt is asked to stop.
CREATE FUNCTION cancel(w work, cancels jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits;
BEGIN
  w.ids := ARRAY(SELECT jsonb_array_elements_text(cancels)::bigint);
  w := apply_moves(w, end_waiting(w.entry, w.ids, becomes('QUEUED', 'CANCEL')));
  UPDATE leases SET cancel_requested = true
  WHERE accept_sequence = ANY (w.ids) AND NOT cancel_requested;
  IF FOUND THEN
    e := w.entry;
    e.cancels := e.cancels + 1;
    w.entry := e;
  END IF;
  RETURN w;
END $$;
