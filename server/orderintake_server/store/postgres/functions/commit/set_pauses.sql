-- Pauses and resumes tiers, each with who asks if an operator does; those that are so already stay as
-- they are.
CREATE FUNCTION set_pauses(w work, pauses jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
  asked jsonb;
  t integer;
BEGIN
  IF pauses IS NULL THEN
    RETURN w;
  END IF;
  FOR asked IN SELECT jsonb_array_elements(pauses) LOOP
    t := (asked ->> 0)::integer;
    IF e.paused[t] <> (asked ->> 1)::boolean THEN
      e.paused[t] := NOT e.paused[t];
      INSERT INTO pauses (tier, time, is_paused, commit_number)
      VALUES (t, e.time, e.paused[t], e.number);
      IF asked -> 2 <> 'null' THEN
        PERFORM record_action(e, asked -> 2,
          CASE WHEN e.paused[t] THEN action_pause_tier() ELSE action_resume_tier() END, t, 0, '{}');
      END IF;
    END IF;
  END LOOP;
  w.entry := e;
  RETURN w;
END $$;
