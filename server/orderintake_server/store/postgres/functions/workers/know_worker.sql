-- The row of a worker, heard just now; it is made where there is none.
CREATE FUNCTION know_worker(id text, lease_seconds double precision) RETURNS workers
  LANGUAGE plpgsql AS $$
DECLARE
  k workers;
  until timestamptz := clock_timestamp() + make_interval(secs => lease_seconds);
BEGIN
  UPDATE workers SET expires_at = greatest(expires_at, until) WHERE worker_id = id RETURNING * INTO k;
  IF NOT FOUND THEN
    INSERT INTO workers (worker_id, expires_at) VALUES (id, until) RETURNING * INTO k;
  END IF;
  RETURN k;
END $$;
