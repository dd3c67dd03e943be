-- Lets the end of replicas that an operator had asked to stop count as no crash of what they had in
-- process: who recovers that adds one to its crashes, so one is taken off beforehand. Their children are
-- told to have been stopping too.
CREATE FUNCTION forgive(expired bigint[]) RETURNS void LANGUAGE sql AS $$
  UPDATE leases l SET crash_count = l.crash_count - 1
  FROM sessions s
  WHERE s.session_id = ANY (expired) AND s.is_stopping AND l.session_id = s.session_id;
  UPDATE workers k SET is_stopping = true
  FROM sessions s
  WHERE s.session_id = ANY (expired) AND s.is_stopping AND k.supervisor = s.session_id;
$$;
