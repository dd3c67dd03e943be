-- Buries the workers that were silent for too long, if the session has been alive for so long without a
-- break: one that was cut off itself could not have heard them. And those whose server is no more. Who is
-- heard at this very moment is being changed, and is left alone.
CREATE FUNCTION bury_silent(w work, p jsonb) RETURNS work LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM sessions, clock_timestamp() AS now
    WHERE session_id = w.session_id AND expires_at > now
      AND since <= now - make_interval(secs => (p ->> 'worker_lease')::double precision))
  THEN
    RETURN w;
  END IF;
  w := bury(w, ARRAY(
    SELECT number FROM workers WHERE ended_at = 0 AND expires_at < clock_timestamp()
    ORDER BY number LIMIT 100 FOR UPDATE SKIP LOCKED), (p ->> 'max_crashes')::integer);
  RETURN bury_orphans(w, p);
END $$;
