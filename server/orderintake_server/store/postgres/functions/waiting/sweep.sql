-- Expires what is over and queues what is due: a thousand of each at the most, the next commit does
-- the rest. expected: what the clock says at the most if it has not leapt: no delay before another attempt
-- ends by a leap, which the next commit takes out of it.
CREATE FUNCTION sweep(w work, p jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
  ids bigint[];
BEGIN
  IF e.next_due IS NULL OR e.next_due > e.time THEN
    RETURN w;
  END IF;
  w := expire(w);
  ids := ARRAY(
    SELECT accept_sequence FROM scheduled WHERE due_time BETWEEN e.due_low_water_mark AND e.time
      AND (attempt_count = 0 OR due_time <= coalesce((p ->> 'expected')::bigint, e.time))
    ORDER BY due_time, accept_sequence LIMIT 1000);
  IF cardinality(ids) > 0 THEN
    w := apply_moves(w, fall_due(ids));
  END IF;
  RETURN look_ahead(w);
END $$;
