-- Pauses and resumes tiers; those that are so already stay as they are.
CREATE FUNCTION set_pauses(w work, pauses jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
  t integer;
BEGIN
  IF pauses IS NULL THEN
    RETURN w;
  END IF;
  FOR t IN SELECT jsonb_object_keys(pauses)::integer LOOP
    IF e.paused[t] <> (pauses ->> t::text)::boolean THEN
      e.paused[t] := NOT e.paused[t];
      INSERT INTO pauses (tier, time, is_paused, commit_number)
      VALUES (t, e.time, e.paused[t], e.number);
    END IF;
  END LOOP;
  w.entry := e;
  RETURN w;
END $$;
