-- Buries the workers that were silent for too long, if the session has been alive for so long without a
-- break: one that was cut off itself could not have heard them. And those whose server is no more.
CREATE FUNCTION bury_silent(w work, p jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  dead bigint[];
BEGIN
  IF EXISTS (
    SELECT FROM sessions, clock_timestamp() AS now
    WHERE session_id = w.session_id AND expires_at > now
      AND since <= now - make_interval(secs => (p ->> 'worker_lease')::double precision))
  THEN  -- who is heard at this very moment is being changed, and is left alone
    dead := ARRAY(
      SELECT number FROM workers WHERE ended_at IS NULL AND expires_at < clock_timestamp()
      ORDER BY number LIMIT 100 FOR UPDATE SKIP LOCKED);
    IF cardinality(dead) > 0 THEN
      w := bury(w, dead, (p ->> 'max_crashes')::integer);
    END IF;
    w := bury_orphans(w, p);
  END IF;
  RETURN w;
END $$;
