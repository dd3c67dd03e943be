-- Finds out when the next waiting order falls due or expires; nothing does before that.
CREATE FUNCTION look_ahead(w work) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
BEGIN
  e.next_due := least(
    (SELECT due_time FROM scheduled WHERE due_time >= e.due_low_water_mark
      ORDER BY due_time LIMIT 1),
    (SELECT expire_time FROM expiries WHERE expire_time >= e.due_low_water_mark
      ORDER BY expire_time LIMIT 1));
  e.due_low_water_mark := least(e.next_due, e.time);
  w.entry := e;
  RETURN w;
END $$;
