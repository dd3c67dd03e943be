-- Accepts groups of orders. ids: those accepted before, which are repeated; how they stand, and how
-- many wait, is told as it is before anything starts, or expires instead. The summary tells the numbers
-- only where not all are new and accepted.
CREATE FUNCTION accept_groups(w work, p jsonb, groups integer[], names text[], requests text[],
  tiers smallint[], contents bytea[], digests uuid[], not_befores bigint[], expire_times bigint[],
  redrives bigint[], traces bytea[]) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
  given record := decide(w, p -> 'capacity', groups, names, requests, tiers, digests);
BEGIN
  IF given.refusals IS NULL OR e.accepted < (SELECT max(n) FROM unnest(given.numbers) AS n) THEN
    e.accept_time := greatest(e.accept_time, e.time);  -- it alone never falls
    w.entry := e;
    w := apply_moves(w, store_orders(e, w.head_start, given.numbers, names, requests, tiers, contents,
      digests, not_befores, expire_times, redrives, traces));
    IF p ? 'redrives' THEN
      PERFORM mark_redriven(redrives, given.numbers, e.accepted);
      PERFORM record_redrives(w.entry, p -> 'redrives', redrives, given.numbers, e.accepted);
    END IF;
  END IF;
  w.ids := '{}';
  w.summary := w.summary || jsonb_build_object('accepted_before', e.accepted,
    'queued_then', (w.entry).queued, 'completed_then', e.completed,
    'overdue', CASE WHEN w.head_start IS NULL THEN 0 ELSE overdue(e.accept_time) END);
  IF given.refusals IS NOT NULL THEN
    w.ids := ARRAY(SELECT DISTINCT n FROM unnest(given.numbers) AS n WHERE n <= e.accepted);
    w.summary := w.summary || jsonb_build_object('numbers', given.numbers,
      'refusals', given.refusals, 'pruned_orders', pruned_orders(names, requests));
  END IF;
  RETURN w;
END $$;
