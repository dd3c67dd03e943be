-- Accepts groups of orders. ids: those accepted before, which are repeated; how they stand, and how
-- many wait, is told as it is before anything starts, or expires instead.
CREATE FUNCTION accept_groups(w work, p jsonb, groups integer[], names text[], requests text[],
  tiers smallint[], contents bytea[], digests uuid[], not_befores bigint[], expire_times bigint[],
  redrives bigint[], traces bytea[]) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
  given record;
  was_pruned jsonb;
BEGIN
  given := decide(w, p -> 'capacity', groups, names, requests, tiers, digests);
  w.ids := ARRAY(SELECT DISTINCT n FROM unnest(given.numbers) AS n WHERE n <= e.accepted);
  IF e.accepted < (SELECT max(n) FROM unnest(given.numbers) AS n) THEN
    e.accept_time := greatest(e.accept_time, e.time);  -- it alone never falls
    w.entry := e;
    w := apply_moves(w, store_orders(e, given.numbers, names, requests, tiers, contents, digests,
      not_befores, expire_times, redrives, traces));
    IF p ? 'redrives' THEN
      PERFORM record_redrives(w.entry, p -> 'redrives', redrives, given.numbers, e.accepted);
    END IF;
  END IF;
  IF cardinality(w.ids) > 0 THEN
    was_pruned := pruned_orders(names, requests);
  END IF;
  w.summary := w.summary || jsonb_build_object('numbers', given.numbers, 'refusals', given.refusals,
    'accepted_before', e.accepted, 'pruned_orders', was_pruned, 'queued_then', (w.entry).queued,
    'completed_then', e.completed, 'overdue', (
      SELECT count(*) FROM ready WHERE tier = 1 AND rank <= e.accept_time
      AND (SELECT vip_head_start FROM policy) IS NOT NULL));
  RETURN w;
END $$;
