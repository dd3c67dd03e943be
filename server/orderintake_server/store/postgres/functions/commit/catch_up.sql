-- Begins a commit: does what is due, and what other replicas, or a lost answer, left to be done.
CREATE FUNCTION catch_up(p jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  w work := begin_commit(p);
BEGIN
  w := recover_expired(CASE WHEN p ? 'opens' THEN w ELSE sweep(w, p) END, p);
  IF p ? 'bury' THEN
    w := bury_silent(w, p);
  END IF;
  IF (w.entry).next_deadline <= (w.entry).time AND NOT p ? 'opens' THEN
    w := tell_overdue(w, p);
  END IF;
  RETURN release_unheld(w, p -> 'held');
END $$;
