-- Decides which groups of orders are accepted, and gives these their numbers; a group's items stand
-- together. Mostly all are new, and there is room for all: then the numbers follow the last one, and
-- refusals is NULL. Otherwise item by item.
CREATE FUNCTION decide(w work, capacity jsonb, groups integer[], names text[], requests text[],
  tiers smallint[], digests uuid[], OUT numbers bigint[], OUT refusals jsonb) LANGUAGE plpgsql AS $$
DECLARE
  last bigint := (w.entry).accepted;
  limits bigint[] := highest_numbers(w.entry, capacity);
  is_usual boolean := NOT w.counts_customers
    AND last + cardinality(groups) <= least(limits[1], limits[2]);
BEGIN
  IF is_usual AND cardinality(requests) > 0 THEN  -- else nothing can be there already
    is_usual := NOT EXISTS (
      SELECT FROM items_to_accept(names, requests, tiers, digests) WHERE held IS NOT NULL OR key <> o);
  END IF;
  IF is_usual THEN
    numbers := ARRAY(SELECT generate_series(last + 1, last + cardinality(groups)));
  ELSE
    SELECT * INTO numbers, refusals
    FROM decide_each(w, capacity, limits, groups, names, requests, tiers, digests);
  END IF;
END $$;
