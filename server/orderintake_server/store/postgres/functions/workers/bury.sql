-- Ends what dead workers had in process, and each attempt counts one crash; but no attempt is counted of a
-- worker that was stopping. Then the workers are forgotten: one that lives in spite of it begins anew. The
-- summary tells of each what it had.
CREATE FUNCTION bury(w work, dead bigint[], max_crashes integer) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  k workers;
  had jsonb;
  buried jsonb := coalesce(w.summary -> 'buried', '[]');
BEGIN
  IF cardinality(dead) = 0 THEN
    RETURN w;
  END IF;
  FOR k IN SELECT * FROM workers WHERE number = ANY (dead) ORDER BY number LOOP
    had := taken_back(k.number);
    w := apply_moves(w, CASE WHEN stops(k) THEN give_back(w.entry, k.number)
      ELSE recover(w.entry, NULL, k.number, max_crashes) END);
    DELETE FROM workers WHERE number = k.number;
    buried := buried || jsonb_build_array(jsonb_build_array(k.worker_id, k.name, what_became(had)));
    w := add_news(w, k.worker_id);
  END LOOP;
  w.summary := w.summary || jsonb_build_object('buried', buried);
  RETURN count_capacity(w);
END $$;
