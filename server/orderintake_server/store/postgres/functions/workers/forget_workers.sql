-- Forgets workers that ended ten minutes ago, and what was noted of attempts before that.
CREATE FUNCTION forget_workers(now bigint) RETURNS void LANGUAGE sql AS $$
  DELETE FROM workers WHERE ended_at > 0 AND ended_at < now - 600000000;
  DELETE FROM ends WHERE time < now - 600000000;
$$;
