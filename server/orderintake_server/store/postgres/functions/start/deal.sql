-- Deals the most urgent orders to those who offer to take them. An order that is to be run alone (crashes
-- >= alone) goes to the first who has nothing in process, and who gets no other; where there is none,
-- nothing starts past it. The summary tells who takes nothing any more, and who got something before.
CREATE FUNCTION deal(w work, wanted jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
  alone integer := wanted ->> 'alone';
  offers take[] := takes(wanted -> 'takes', alone, (wanted ->> 'idle')::boolean);
  most bigint := (SELECT sum(room) FROM unnest(offers) WHERE NOT is_closed);
  i integer := 1;
  t integer;
  c record;
  loners text[] := '{}';
BEGIN
  w.places := '{}'; w.worker_ids := '{}'; w.calls := '{}';
  FOR c IN SELECT * FROM front(e, coalesce(most, 0)) LOOP
    WHILE offers[i].is_closed OR offers[i].room = 0 OR offers[i].worker_id = ANY (loners) LOOP
      i := i + 1;
    END LOOP;
    t := i;
    IF c.crash_count >= alone THEN
      t := first_idle(offers, loners || w.worker_ids);
      loners := loners || offers[t].worker_id;
    END IF;
    EXIT WHEN offers[t] IS NULL;
    offers[t].room := offers[t].room - 1;
    w.places := w.places || c.place;
    w.ids := w.ids || c.id;
    w.worker_ids := w.worker_ids || offers[t].worker_id;
    w.calls := w.calls || offers[t].call;
    e.low_water_mark[c.tier] := c.rank;
  END LOOP;
  w.entry := e;
  RETURN tell_again(w, offers);
END $$;
