-- Ends the attempts that are over; the summary tells how each of their orders stands now.
CREATE FUNCTION settle(w work, ids bigint[], starts bigint[], states smallint[], codes bytea[],
  messages bytea[], results bytea[], delays bigint[]) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  m moves;
BEGIN
  IF cardinality(ids) > 0 THEN
    m := end_attempts(w.entry, ids, starts, states, codes, messages, results, delays,
      is_crash => false);
    w := apply_moves(w, m);
    w.summary := w.summary || jsonb_build_object('attempts', m.answer);
  END IF;
  RETURN w;
END $$;
