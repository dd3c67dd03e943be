-- Forgets workers that ended ten minutes ago, or before the last ten thousand; and what was noted of
-- attempts ten minutes ago.
CREATE FUNCTION forget_workers(now bigint) RETURNS void LANGUAGE sql AS $$
  DELETE FROM workers WHERE ended_at > 0 AND ended_at < greatest(now - 600000000, (
    SELECT ended_at FROM workers WHERE ended_at > 0 ORDER BY ended_at DESC OFFSET 9999 LIMIT 1));
  DELETE FROM ends WHERE time < now - 600000000;
$$;
