-- Releases what is leased to the session though it does not have it in process: the answer that gave
-- it was lost. held: the start_sequences of all that it has; NULL: no answer was lost.
CREATE FUNCTION release_unheld(w work, held jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  ids bigint[];
  lost bigint[];
  states smallint[];
BEGIN
  IF held IS NULL THEN
    RETURN w;
  END IF;
  SELECT array_agg(accept_sequence), array_agg(start_sequence),
    array_agg(becomes('PROCESSING', 'RELEASE'))
  INTO ids, lost, states FROM leases l WHERE session_id = w.session_id AND NOT EXISTS (
    SELECT FROM jsonb_array_elements_text(held) AS h (start)
    WHERE h.start::bigint = l.start_sequence);
  RETURN apply_moves(w, end_attempts(w.entry, ids, lost, states, NULL, NULL, NULL, NULL,
    is_crash => false));
END $$;
