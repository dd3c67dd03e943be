-- Recovers what replicas had in process that have expired. A replica that was cut off itself does so
-- only once it has been alive again for the time of a lease.
CREATE FUNCTION recover_expired(w work, p jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  m moves;
  expired bigint[];
  lost jsonb;
BEGIN
  IF NOT (p ? 'opens' OR w.may_recover) THEN
    RETURN w;
  END IF;
  expired := ARRAY(SELECT session_id FROM sessions WHERE expires_at < clock_timestamp());
  IF cardinality(expired) > 0 THEN
    lost := (
      SELECT jsonb_agg(jsonb_build_array(replica, orders))
      FROM sessions s CROSS JOIN LATERAL (
        SELECT count(*) AS orders FROM leases l WHERE l.session_id = s.session_id) AS l
      WHERE s.session_id = ANY (expired) AND (orders > 0 OR expires_at > '-infinity'));
    PERFORM forgive(expired);
    m := recover(w.entry, expired, NULL, (p ->> 'max_crashes')::integer);
    DELETE FROM sessions WHERE session_id = ANY (expired);
    w := apply_moves(w, m);
    w.summary := w.summary || jsonb_build_object('lost_replicas', lost, 'recovered', (
      SELECT jsonb_build_array(count(*) FILTER (WHERE state = state_queued()),
        count(*) FILTER (WHERE state = state_failed()))
      FROM unnest(m.states) AS state));
    w := bury_orphans(w, p);
  END IF;
  RETURN CASE WHEN p ? 'opens' THEN grant_time(w) ELSE w END;
END $$;
