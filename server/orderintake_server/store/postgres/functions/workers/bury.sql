-- Ends what dead workers had in process, and each attempt counts one crash, unless the worker was stopping;
-- then forgets the workers: one that lives in spite of it begins anew. The summary tells of each what it had.
CREATE FUNCTION bury(w work, dead bigint[], max_crashes integer) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  k workers;
  had jsonb;
  buried jsonb := coalesce(w.summary -> 'buried', '[]');
BEGIN
  FOR k IN SELECT * FROM workers WHERE number = ANY (dead) ORDER BY number LOOP
    had := taken_back(k.number);
    IF k.is_stopping THEN
      UPDATE leases SET crash_count = crash_count - 1 WHERE worker = k.number AND worker > 0;
    END IF;
    w := apply_moves(w, recover(w.entry, NULL, ARRAY[k.number], max_crashes));
    DELETE FROM workers WHERE number = k.number;
    buried := buried || jsonb_build_array(jsonb_build_array(k.worker_id, k.name, what_became(had)));
    w := add_news(w);
  END LOOP;
  w.summary := w.summary || jsonb_build_object('buried', buried);
  RETURN w;
END $$;
