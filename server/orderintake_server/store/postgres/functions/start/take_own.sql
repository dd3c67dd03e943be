-- Finds the most urgent orders, for the replica itself.
CREATE FUNCTION take_own(w work, wanted jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
BEGIN
  SELECT array_agg(place), array_agg(id),
    ARRAY[coalesce(max(rank) FILTER (WHERE tier = 1), e.low_water_mark[1]),
      coalesce(max(rank) FILTER (WHERE tier = 2), e.low_water_mark[2])]
  INTO w.places, w.ids, e.low_water_mark
  FROM most_urgent(e, (wanted ->> 'most')::bigint, (wanted ->> 'alone')::integer,
    (wanted ->> 'idle')::boolean);
  w.entry := e;
  RETURN w;
END $$;
