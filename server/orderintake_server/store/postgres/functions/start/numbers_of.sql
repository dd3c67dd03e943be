-- The numbers of the workers that the orders go to; 0 is the replica itself. A worker that is not known
-- begins here.
CREATE FUNCTION numbers_of(w work, p jsonb) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
  until timestamptz := clock_timestamp() + make_interval(secs => (p ->> 'worker_lease')::double precision);
BEGIN
  INSERT INTO workers (worker_id, expires_at)
  SELECT DISTINCT id, until FROM unnest(w.worker_ids) AS n (id)
  WHERE id <> '' AND NOT EXISTS (SELECT FROM workers k WHERE k.worker_id = id);
  RETURN ARRAY(
    SELECT coalesce(k.number, 0) FROM unnest(w.worker_ids) WITH ORDINALITY AS n (id, o)
    LEFT JOIN workers k ON k.worker_id = id ORDER BY o);
END $$;
