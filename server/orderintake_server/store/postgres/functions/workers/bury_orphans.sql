-- Buries the workers whose server is no more: they end with it.
CREATE FUNCTION bury_orphans(w work, p jsonb) RETURNS work LANGUAGE plpgsql AS $$
BEGIN
  RETURN bury(w, ARRAY(
    SELECT number FROM workers k WHERE supervisor > 0 AND ended_at = 0
      AND NOT EXISTS (SELECT FROM sessions s WHERE s.session_id = k.supervisor)),
    (p ->> 'max_crashes')::integer);
END $$;
