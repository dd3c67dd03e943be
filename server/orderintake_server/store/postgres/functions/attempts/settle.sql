-- Ends the attempts that are over. The summary tells how their orders stand now, by their places among
-- those asked for, unless all stand as they were asked to. Those after the first few (quiet) are reports of
-- workers, which may be repeats: the answer is the one that they had then.
CREATE FUNCTION settle(w work, quiet bigint, ids bigint[], starts bigint[], states smallint[], codes bytea[],
  messages bytea[], results bytea[], delays bigint[]) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  m moves;
BEGIN
  IF cardinality(ids) > 0 THEN
    m := end_attempts(w.entry, ids, starts, states, codes, messages, results, delays,
      is_crash => false, quiet => quiet);
    w := apply_moves(w, m);
    IF NOT m.as_asked THEN
      IF quiet IS NOT NULL THEN
        w.summary := w.summary || jsonb_build_object('ended_now', coalesce(m.places, '{}'));
        m := ended_before(w.entry, m, quiet, ids, starts, states);
      END IF;
      w.summary := w.summary || jsonb_build_object('attempts',
        jsonb_build_array(coalesce(m.places, '{}'), coalesce(m.states, '{}')));
    END IF;
  END IF;
  RETURN w;
END $$;
