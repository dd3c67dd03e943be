-- Buries the workers whose server is no more: they end with it.
CREATE FUNCTION bury_orphans(w work, p jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  dead bigint[] := ARRAY(
    SELECT number FROM workers k WHERE supervisor > 0 AND ended_at IS NULL
      AND NOT EXISTS (SELECT FROM sessions s WHERE s.session_id = k.supervisor));
BEGIN
  RETURN CASE WHEN cardinality(dead) > 0 THEN bury(w, dead, (p ->> 'max_crashes')::integer) ELSE w END;
END $$;
