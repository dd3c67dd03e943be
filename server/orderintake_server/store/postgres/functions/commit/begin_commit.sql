-- Begins a commit, at the row of the newest one. Its time is what the clock says now, which may be
-- earlier than the time of the commit before.
CREATE FUNCTION begin_commit(p jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  w work;
  e commits;
BEGIN
  SELECT * INTO e FROM commits ORDER BY number DESC LIMIT 1;
  w.previous := e;
  w.session_id := (p ->> 'session')::bigint;
  w.summary := '{}';
  SELECT counts_customers, vip_head_start, coalesce(expires_at > now, false), coalesce(
    expires_at > now AND s.since <= now - make_interval(secs => (p ->> 'lease')::double precision), false)
  INTO w.counts_customers, w.head_start, w.is_alive, w.may_recover
  FROM policy CROSS JOIN clock_timestamp() AS now LEFT JOIN sessions s ON s.session_id = w.session_id;
  e.number := e.number + 1;
  e.session_id := w.session_id;
  e.request := (p ->> 'request')::bigint;
  e.time := coalesce((p ->> 'now')::bigint,
    floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
  w.entry := e;
  RETURN CASE WHEN p ? 'leap' THEN follow_clock(w, p) ELSE w END;
END $$;
