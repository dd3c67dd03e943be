-- Forgets workers that ended ten minutes ago, and what was noted of ends before that.
CREATE FUNCTION forget_workers(now bigint) RETURNS void LANGUAGE sql AS $$
  DELETE FROM workers WHERE ended_at < clock_timestamp() - interval '10 minutes';
  DELETE FROM ends WHERE time < now - 600000000;
$$;
