-- Forgets what is old: completions with their orders, then request_ids, up to the limit of each.
CREATE FUNCTION prune(w work, asked jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
  most bigint := asked ->> 'limit';
  last bigint;
  pruned bigint;
BEGIN
  IF asked IS NULL THEN
    RETURN w;
  END IF;
  last := last_old(e.earliest, (asked ->> 'completed_before')::bigint, most);
  pruned := coalesce(last - e.earliest, 0);
  IF last IS NOT NULL THEN
    PERFORM prune_orders(e.earliest, last);
    e.earliest := last;
    w.entry := e;
  END IF;
  IF asked ->> 'requests_before' IS NOT NULL THEN
    pruned := pruned + prune_requests((asked ->> 'requests_before')::bigint, most);
  END IF;
  w.summary := w.summary || jsonb_build_object('pruned', pruned);
  RETURN w;
END $$;
