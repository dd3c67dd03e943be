-- Starts the orders that p names (claims), or the most urgent ones (claim_next), unless the session has
-- expired. What is over by now is ended instead, however it came into the queue. ids: those that
-- started, in that order.
CREATE FUNCTION start_orders(w work, p jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
  places tid[];
  wanted jsonb := p -> 'claim_next';
  is_over boolean;
BEGIN
  w.ids := '{}';
  IF NOT w.is_alive THEN
    RETURN w;
  END IF;
  is_over := e.next_due <= e.time;
  IF is_over THEN  -- also what this very commit accepted or took back
    w := expire(w);
    e := w.entry;
  END IF;
  IF p ? 'claims' THEN
    SELECT array_agg(place), array_agg(id) INTO places, w.ids FROM asked_for(p -> 'claims');
  ELSE
    SELECT array_agg(place), array_agg(id),
      ARRAY[coalesce(max(rank) FILTER (WHERE tier = 1), e.low_water_mark[1]),
        coalesce(max(rank) FILTER (WHERE tier = 2), e.low_water_mark[2])]
    INTO places, w.ids, e.low_water_mark
    FROM most_urgent(e, (wanted ->> 'most')::bigint, (wanted ->> 'alone')::integer,
      (wanted ->> 'idle')::boolean);
    w.entry := e;
  END IF;
  IF is_over THEN  -- for more than a thousand may be over
    w := expire_some(w);
  END IF;
  RETURN start_these(w, places);
END $$;
