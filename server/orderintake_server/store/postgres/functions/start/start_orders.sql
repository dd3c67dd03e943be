-- Starts the orders that p names (claims), or the most urgent ones (claim_next), unless the session has
-- expired. What is over by now is ended instead, however it came into the queue. ids: those that
-- started, in that order.
CREATE FUNCTION start_orders(w work, p jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
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
    w := find_claims(w, p -> 'claims', p -> 'holders');
  ELSIF wanted ? 'takes' THEN
    IF EXISTS (SELECT FROM workers WHERE ended_at > 0 AND ended_at < e.time - 600000000) THEN
      PERFORM forget_workers(e.time);
    END IF;
    w := deal(w, wanted);
  ELSE
    SELECT array_agg(place), array_agg(id),
      ARRAY[coalesce(max(rank) FILTER (WHERE tier = 1), e.low_water_mark[1]),
        coalesce(max(rank) FILTER (WHERE tier = 2), e.low_water_mark[2])]
    INTO w.places, w.ids, e.low_water_mark
    FROM most_urgent(e, (wanted ->> 'most')::bigint, (wanted ->> 'alone')::integer,
      (wanted ->> 'idle')::boolean);
    w.entry := e;
  END IF;
  IF is_over THEN  -- for more than a thousand may be over
    w := expire_some(w);
  END IF;
  w := start_these(w, p);
  RETURN CASE WHEN w.worker_ids IS NULL THEN w ELSE tell_holders(w) END;
END $$;
