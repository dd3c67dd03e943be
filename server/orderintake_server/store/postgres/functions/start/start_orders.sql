-- Starts the orders that p names (claims), or the most urgent ones (claim_next), unless the session has
-- expired. What is over by now is ended instead, however it came into the queue. ids: those that
-- started, in that order.
CREATE FUNCTION start_orders(w work, p jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
  is_over boolean;
BEGIN
  w.ids := '{}';
  IF NOT w.is_alive THEN
    RETURN w;
  END IF;
  is_over := e.next_due <= e.time;
  IF is_over THEN  -- also what this very commit accepted or took back
    w := expire(w);
  END IF;
  IF p ? 'claims' THEN
    w := find_claims(w, p -> 'claims', p -> 'holders');
  ELSIF p -> 'claim_next' ? 'takes' THEN
    w := deal(w, p -> 'claim_next');
  ELSE
    w := take_own(w, p -> 'claim_next');
  END IF;
  IF is_over THEN  -- for more than a thousand may be over
    w := expire_some(w);
  END IF;
  w := start_these(w, p);
  RETURN CASE WHEN w.worker_ids IS NULL THEN w ELSE tell_holders(w) END;
END $$;
