-- Begins a commit: does what is due, and what other replicas, or a lost answer, left to be done.
CREATE FUNCTION catch_up(p jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  w work;
BEGIN
  w := follow_clock(begin_commit(p), (p ->> 'leap')::bigint, (p ->> 'leapt')::bigint);
  IF NOT p ? 'opens' THEN
    w := sweep(w, (p ->> 'expected')::bigint);
  END IF;
  RETURN release_unheld(recover_expired(w, p), p -> 'held');
END $$;
