-- Gives each order of each group its number, new or held; or refuses a group, changing nothing.
-- numbers: NULL in refused groups; new are those above the last that was accepted before. A refusal is
-- [group, "reused", number, request_id] or [group, "capacity", orders, customer_id or null].
CREATE FUNCTION decide_each(w work, capacity jsonb, limits bigint[], groups integer[], names text[],
  requests text[], tiers smallint[], digests uuid[], OUT numbers bigint[], OUT refusals jsonb)
  LANGUAGE plpgsql AS $$
DECLARE
  i record;
  n integer[] := ARRAY[cardinality(groups)];
  last bigint := (w.entry).accepted;                  -- the last number that was given for good
  named bigint[] := array_fill(NULL::bigint, n);      -- by key: the number that was given here,
  named_as uuid[] := array_fill(NULL::uuid, n);       -- and to what content
  keys integer[] := array_fill(NULL::integer, n);     -- by item, of what is new
  first integer; more bigint; tier smallint; refusal jsonb;
BEGIN
  numbers := array_fill(NULL::bigint, n); refusals := '[]';
  FOR i IN SELECT * FROM items_to_accept(names, requests, tiers, digests) LOOP
    IF groups[i.o] IS DISTINCT FROM groups[i.o - 1] THEN
      first := i.o; more := 0; tier := 2; refusal := NULL;
    END IF;
    numbers[i.o] := coalesce(i.held, named[i.key], last + more + 1);
    IF numbers[i.o] > last + more THEN
      more := more + 1; tier := least(tier, i.tier); keys[i.o] := i.key;
      named[i.key] := numbers[i.o]; named_as[i.key] := i.digest;
    ELSIF refusal IS NULL AND coalesce(i.held_digest, named_as[i.key]) <> i.digest THEN
      refusal := jsonb_build_array(groups[i.o], 'reused', numbers[i.o], i.request);
    END IF;
    CONTINUE WHEN groups[i.o] = groups[i.o + 1];
    refusal := CASE WHEN refusal IS NOT NULL OR more = 0 THEN refusal
      WHEN last + more > limits[tier] THEN jsonb_build_array(groups[i.o], 'capacity', more, NULL)
      WHEN w.counts_customers THEN count_new(groups[i.o], names[first:i.o], keys[first:i.o], capacity)
    END;
    IF refusal IS NULL THEN
      last := last + more;
    ELSE
      refusals := refusals || jsonb_build_array(refusal);
      FOR o IN first .. i.o LOOP
        named[coalesce(keys[o], o)] := NULL;
        numbers[o] := NULL; keys[o] := NULL;
      END LOOP;
    END IF;
  END LOOP;
END $$;
