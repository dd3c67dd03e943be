-- Whether a worker takes nothing any more: it stops, or has ended, or its server is stopped.
CREATE FUNCTION stops(k workers) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT k.is_stopping OR (k.supervisor > 0 AND EXISTS (
    SELECT FROM sessions s WHERE s.session_id = k.supervisor AND s.is_stopping))
$$;
