-- Moves the ends of delays before another attempt, and of attempts, with the clock, which leapt: they are
-- lengths. One
-- replica judges the clock: the oldest that is alive. A leap counts once: whoever saw it before another one
-- was added (leapt) has to look again.
CREATE FUNCTION follow_clock(w work, p jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
  m moves;
  leap bigint := p ->> 'leap';
BEGIN
  IF e.leapt <> (p ->> 'leapt')::bigint OR w.session_id IS DISTINCT FROM (
    SELECT min(session_id) FROM sessions
    WHERE session_id = w.session_id OR expires_at >= clock_timestamp())
  THEN
    RETURN w;
  END IF;
  WITH moved AS (
    UPDATE scheduled SET due_time = due_time + leap WHERE attempt_count > 0 RETURNING due_time)
  SELECT min(due_time) INTO m.due FROM moved;
  UPDATE leases SET deadline = deadline + leap WHERE deadline > 0;
  e.next_deadline := e.next_deadline + leap;
  e.leapt := e.leapt + leap;
  w.entry := e;
  RETURN apply_moves(w, m);
END $$;
