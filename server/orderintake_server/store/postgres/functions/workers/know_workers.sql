-- Begins the workers that orders go to (worker_ids) and that are not known, each with the name and the
-- capacity that it says (p's `names`, by worker_id).
CREATE FUNCTION know_workers(w work, p jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  until timestamptz := clock_timestamp() + make_interval(secs => (p ->> 'worker_lease')::double precision);
BEGIN
  INSERT INTO workers (worker_id, expires_at, name, capacity)
  SELECT DISTINCT id, until, coalesce(p -> 'names' -> id ->> 0, ''),
    coalesce((p -> 'names' -> id ->> 1)::integer, 0)
  FROM unnest(w.worker_ids) AS n (id)
  WHERE id <> '' AND NOT EXISTS (SELECT FROM workers k WHERE k.worker_id = id);
  RETURN CASE WHEN FOUND THEN count_capacity(w) ELSE w END;
END $$;
