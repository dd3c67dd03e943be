-- How a set of changes becomes one transaction. commit_changes is called once for each commit, and is
-- all that a replica sends: the lock that lets one commit happen at a time is held while the database
-- works and flushes, and never while it waits for a replica.

-- What a step moved: how many of each tier (NULL: none), and what that means for what is kept beside.
CREATE TYPE moves AS (
  queued bigint[], scheduled bigint[], processing bigint[], came bigint[], ended bigint[],
  started bigint,
  floor bigint[],   -- the least rank that came into the queue, by tier
  due bigint,       -- the soonest time to look at what came
  answer bigint[],  -- one number for each thing asked for
  refusals jsonb
);

-- What commit_changes answers: one summary (kind 0), then orders as they stand: those that were
-- accepted before (1), those that start (2), those that were to be cancelled (3).
CREATE TYPE answer AS (
  kind smallint, summary jsonb,
  accept_sequence bigint, customer_id text, tier smallint, content bytea, accept_time bigint,
  not_before bigint, expire_time bigint, redrive_of bigint,
  queued integer, scheduled integer, attempt_count integer, start_sequence bigint, start_time bigint,
  sequence bigint, outcome smallint, logged_attempts integer, logged_start bigint,
  logged_start_time bigint, complete_time bigint, failure_code bytea, failure_message bytea,
  result bytea, crash_count integer
);

-- Where orders stand, and since when.
CREATE FUNCTION standing(what smallint, ids bigint[]) RETURNS SETOF answer LANGUAGE sql AS $$
  SELECT what, NULL::jsonb, o.accept_sequence, o.customer_id, o.tier, o.content, o.accept_time,
    o.not_before, o.expire_time, o.redrive_of, r.attempt_count, s.attempt_count,
    l.attempt_count, l.start_sequence, l.start_time, g.sequence, g.outcome, g.attempt_count,
    g.start_sequence, g.start_time, g.complete_time, g.failure_code, g.failure_message, g.result,
    coalesce(r.crash_count, s.crash_count, l.crash_count)
  FROM unnest(ids) WITH ORDINALITY AS i (id, o)
  JOIN orders o ON o.accept_sequence = i.id
  LEFT JOIN ready r ON r.tier = o.tier AND r.rank = o.rank
    AND r.accept_sequence = o.accept_sequence
  LEFT JOIN scheduled s ON s.accept_sequence = o.accept_sequence
  LEFT JOIN leases l ON l.accept_sequence = o.accept_sequence
  LEFT JOIN log g ON g.accept_sequence = o.accept_sequence
  ORDER BY i.o
$$;

CREATE FUNCTION plus(a bigint[], b bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN b IS NULL THEN a ELSE ARRAY[a[1] + b[1], a[2] + b[2]] END
$$;

-- How everything stands behind a step.
CREATE FUNCTION plus(b commits, m moves) RETURNS commits LANGUAGE plpgsql AS $$
BEGIN
  b.queued := plus(b.queued, m.queued);
  b.scheduled := plus(b.scheduled, m.scheduled);
  b.processing := plus(b.processing, m.processing);
  b.came := plus(b.came, m.came);
  b.ended := plus(b.ended, m.ended);
  b.accepted := b.accepted + coalesce(m.came[1] + m.came[2], 0);
  b.started := b.started + coalesce(m.started, 0);
  b.completed := b.completed + coalesce(m.ended[1] + m.ended[2], 0);
  b.floor := ARRAY[least(b.floor[1], m.floor[1]), least(b.floor[2], m.floor[2])];
  b.next_due := least(b.next_due, m.due);
  b.due_floor := least(b.due_floor, m.due);
  RETURN b;
END $$;

-- Counts orders of customers that begin to wait (+1) or wait no longer (-1), where that is wanted.
CREATE FUNCTION count_customers(names text[], sign integer) RETURNS void LANGUAGE sql AS $$
  INSERT INTO customers AS c SELECT name, sign * count(*) FROM unnest(names) AS name GROUP BY name
  ON CONFLICT (customer_id) DO UPDATE SET waiting = c.waiting + excluded.waiting
$$;

-- Ends orders that wait, wherever they do, and no others.
CREATE FUNCTION end_waiting(b commits, ids bigint[], how integer) RETURNS moves LANGUAGE plpgsql AS $$
DECLARE
  m moves;
  names text[];
BEGIN
  WITH asked AS (
    SELECT id, min(o) AS o FROM unnest(ids) WITH ORDINALITY AS a (id, o) GROUP BY id),
  meant AS MATERIALIZED (
    SELECT a.o, x.accept_sequence, x.tier, x.rank, x.customer_id
    FROM asked a JOIN orders x ON x.accept_sequence = a.id),
  queued AS (
    DELETE FROM ready r USING meant w
    WHERE r.tier = w.tier AND r.rank = w.rank AND r.accept_sequence = w.accept_sequence
    RETURNING 1 AS place, w.o, w.accept_sequence, w.tier, w.customer_id, r.attempt_count),
  scheduled AS (
    DELETE FROM scheduled s USING meant w WHERE s.accept_sequence = w.accept_sequence
    RETURNING 2 AS place, w.o, w.accept_sequence, w.tier, w.customer_id, s.attempt_count),
  found AS (SELECT * FROM queued UNION ALL SELECT * FROM scheduled),
  logged AS (
    INSERT INTO log SELECT b.completed + row_number() OVER (ORDER BY place, o), accept_sequence,
      how, attempt_count, 0, 0, b.time, NULL, NULL, NULL, customer_id, tier, b.number FROM found)
  SELECT
    ARRAY[-count(*) FILTER (WHERE place = 1 AND tier = 1), -count(*) FILTER (WHERE place = 1 AND tier = 2)],
    ARRAY[-count(*) FILTER (WHERE place = 2 AND tier = 1), -count(*) FILTER (WHERE place = 2 AND tier = 2)],
    ARRAY[count(*) FILTER (WHERE tier = 1), count(*) FILTER (WHERE tier = 2)],
    array_agg(customer_id)
  INTO m.queued, m.scheduled, m.ended, names FROM found;
  IF (SELECT counts_customers FROM policy) THEN
    PERFORM count_customers(names, -1);
  END IF;
  RETURN m;
END $$;

-- Queues orders whose time has come.
CREATE FUNCTION fall_due(b commits, ids bigint[]) RETURNS moves LANGUAGE plpgsql AS $$
DECLARE
  m moves;
BEGIN
  WITH due AS (
    DELETE FROM scheduled s USING unnest(ids) AS i (id) WHERE s.accept_sequence = i.id
    RETURNING s.accept_sequence, s.attempt_count, s.crash_count),
  found AS (
    SELECT d.*, o.tier, o.rank FROM due d JOIN orders o ON o.accept_sequence = d.accept_sequence),
  queued AS (
    INSERT INTO ready SELECT tier, rank, accept_sequence, attempt_count, crash_count FROM found)
  SELECT
    ARRAY[count(*) FILTER (WHERE tier = 1), count(*) FILTER (WHERE tier = 2)],
    ARRAY[-count(*) FILTER (WHERE tier = 1), -count(*) FILTER (WHERE tier = 2)],
    ARRAY[min(rank) FILTER (WHERE tier = 1), min(rank) FILTER (WHERE tier = 2)]
  INTO m.queued, m.scheduled, m.floor FROM found;
  RETURN m;
END $$;

-- Expires what is over and queues what is due; a thousand of each at the most, the rest comes next.
CREATE FUNCTION sweep(b commits) RETURNS commits LANGUAGE plpgsql AS $$
DECLARE
  ids bigint[];
BEGIN
  IF b.next_due IS NULL OR b.next_due > b.time THEN
    RETURN b;
  END IF;
  WITH first AS MATERIALIZED (
    SELECT expire_time, accept_sequence FROM expiries
    WHERE expire_time BETWEEN b.due_floor AND b.time
    ORDER BY expire_time, accept_sequence LIMIT 1000),
  over AS (
    DELETE FROM expiries x USING first f
    WHERE x.expire_time = f.expire_time AND x.accept_sequence = f.accept_sequence
    RETURNING x.expire_time, x.accept_sequence)
  SELECT array_agg(accept_sequence ORDER BY expire_time, accept_sequence) INTO ids FROM over;
  IF ids IS NOT NULL THEN
    b := plus(b, end_waiting(b, ids, 7));
  END IF;
  ids := ARRAY(
    SELECT accept_sequence FROM scheduled WHERE due_time BETWEEN b.due_floor AND b.time
    ORDER BY due_time, accept_sequence LIMIT 1000);
  IF cardinality(ids) > 0 THEN
    b := plus(b, fall_due(b, ids));
  END IF;
  b.next_due := least(
    (SELECT due_time FROM scheduled WHERE due_time >= b.due_floor ORDER BY due_time LIMIT 1),
    (SELECT expire_time FROM expiries WHERE expire_time >= b.due_floor ORDER BY expire_time LIMIT 1));
  b.due_floor := least(b.next_due, b.time);
  RETURN b;
END $$;

-- Ends attempts whose lease is still good. how: what it came to, a State; 1 (QUEUED) gives the order
-- back with the attempt not counted, 2 (SCHEDULED) has it tried again after the delay. Where a stop was
-- asked for and the attempt did not succeed, the order is cancelled. The answer is how each stands now,
-- NULL where the lease was good no longer.
CREATE FUNCTION end_attempts(b commits, ids bigint[], starts bigint[], how smallint[],
  codes bytea[], messages bytea[], results bytea[], delays bigint[]) RETURNS moves LANGUAGE plpgsql AS $$
DECLARE
  m moves;
  names text[];
BEGIN
  WITH asked AS MATERIALIZED (
    SELECT * FROM unnest(ids, starts, how, codes, messages, results, delays) WITH ORDINALITY
      AS a (id, start, how, code, message, result, delay, o)),
  first AS MATERIALIZED (
    SELECT DISTINCT ON (id, start) * FROM asked ORDER BY id, start, o),
  good AS (
    DELETE FROM leases l USING first f WHERE l.accept_sequence = f.id AND l.start_sequence = f.start
    RETURNING f.o, f.code, f.message, f.result, b.time + f.delay AS due, l.accept_sequence,
      l.attempt_count, l.crash_count, l.start_sequence, l.start_time,
      CASE WHEN l.cancel_requested AND f.how <> 4 THEN 6 ELSE f.how END AS now),
  found AS MATERIALIZED (
    SELECT g.*, x.tier, x.rank, x.customer_id, x.expire_time
    FROM good g JOIN orders x ON x.accept_sequence = g.accept_sequence),
  logged AS (
    INSERT INTO log SELECT b.completed + row_number() OVER (ORDER BY o), accept_sequence, now,
      attempt_count, start_sequence, start_time, b.time,
      CASE WHEN now = 5 THEN code END, CASE WHEN now = 5 THEN message END,
      CASE WHEN now <> 6 THEN result END, customer_id, tier, b.number FROM found WHERE now > 2),
  queued AS (
    INSERT INTO ready SELECT tier, rank, accept_sequence, attempt_count - 1, crash_count
    FROM found WHERE now = 1),
  later AS (
    INSERT INTO scheduled SELECT accept_sequence, due, attempt_count, crash_count
    FROM found WHERE now = 2),
  watched AS (
    INSERT INTO expiries SELECT expire_time, accept_sequence
    FROM found WHERE now <= 2 AND expire_time > 0 ON CONFLICT DO NOTHING)
  SELECT
    ARRAY[count(*) FILTER (WHERE now = 1 AND tier = 1), count(*) FILTER (WHERE now = 1 AND tier = 2)],
    ARRAY[count(*) FILTER (WHERE now = 2 AND tier = 1), count(*) FILTER (WHERE now = 2 AND tier = 2)],
    ARRAY[-count(*) FILTER (WHERE tier = 1), -count(*) FILTER (WHERE tier = 2)],
    ARRAY[count(*) FILTER (WHERE now > 2 AND tier = 1), count(*) FILTER (WHERE now > 2 AND tier = 2)],
    ARRAY[min(rank) FILTER (WHERE now = 1 AND tier = 1), min(rank) FILTER (WHERE now = 1 AND tier = 2)],
    least(min(due) FILTER (WHERE now = 2), min(expire_time) FILTER (WHERE now <= 2 AND expire_time > 0)),
    (SELECT array_agg(f.now ORDER BY a.o) FROM asked a LEFT JOIN found f ON f.o = a.o),
    array_agg(customer_id) FILTER (WHERE now <= 2)
  INTO m.queued, m.scheduled, m.processing, m.ended, m.floor, m.due, m.answer, names FROM found;
  IF (SELECT counts_customers FROM policy) THEN
    PERFORM count_customers(names, +1);
  END IF;
  RETURN m;
END $$;

-- Takes back what replicas had in process that are dead: each order waits again, or ends if its attempts
-- died too often or it was to be cancelled. The answer: how many wait again, and were quarantined.
CREATE FUNCTION reap(b commits, dead bigint[], max_crashes integer) RETURNS moves LANGUAGE plpgsql AS $$
DECLARE
  m moves;
  names text[];
BEGIN
  WITH lost AS (
    DELETE FROM leases WHERE session_id = ANY (dead)
    RETURNING accept_sequence, attempt_count, crash_count + 1 AS crashes, start_sequence, start_time,
      CASE WHEN cancel_requested THEN 6 WHEN crash_count + 1 >= max_crashes THEN 5 ELSE 1 END AS now),
  found AS MATERIALIZED (
    SELECT l.*, x.tier, x.rank, x.customer_id, x.expire_time
    FROM lost l JOIN orders x ON x.accept_sequence = l.accept_sequence),
  logged AS (
    INSERT INTO log SELECT b.completed + row_number() OVER (ORDER BY accept_sequence),
      accept_sequence, now, attempt_count, start_sequence, start_time, b.time,
      CASE WHEN now = 5 THEN 'QUARANTINED'::bytea END,
      CASE WHEN now = 5 THEN convert_to(
        format('the process died during %s attempts of this order', crashes), 'UTF8') END,
      NULL, customer_id, tier, b.number FROM found WHERE now > 2),
  queued AS (
    INSERT INTO ready SELECT tier, rank, accept_sequence, attempt_count, crashes
    FROM found WHERE now = 1),
  watched AS (
    INSERT INTO expiries SELECT expire_time, accept_sequence
    FROM found WHERE now = 1 AND expire_time > 0 ON CONFLICT DO NOTHING)
  SELECT
    ARRAY[count(*) FILTER (WHERE now = 1 AND tier = 1), count(*) FILTER (WHERE now = 1 AND tier = 2)],
    ARRAY[-count(*) FILTER (WHERE tier = 1), -count(*) FILTER (WHERE tier = 2)],
    ARRAY[count(*) FILTER (WHERE now > 2 AND tier = 1), count(*) FILTER (WHERE now > 2 AND tier = 2)],
    ARRAY[min(rank) FILTER (WHERE now = 1 AND tier = 1), min(rank) FILTER (WHERE now = 1 AND tier = 2)],
    min(expire_time) FILTER (WHERE now = 1 AND expire_time > 0),
    ARRAY[count(*) FILTER (WHERE now = 1), count(*) FILTER (WHERE now = 5)],
    array_agg(customer_id) FILTER (WHERE now = 1)
  INTO m.queued, m.processing, m.ended, m.floor, m.due, m.answer, names FROM found;
  DELETE FROM sessions WHERE session_id = ANY (dead);
  IF (SELECT counts_customers FROM policy) THEN
    PERFORM count_customers(names, +1);
  END IF;
  RETURN m;
END $$;

-- Gives each order of each group its number, new or held; or refuses a group, changing nothing. Items
-- stand group by group. The answer is the numbers, NULL in refused groups; new are those above the last
-- that was accepted before. A refusal is [group, "reused", number, request_id] or [group, "room", orders,
-- customer_id or null].
CREATE FUNCTION decide(b commits, room jsonb, groups integer[], names text[], requests text[],
  tiers smallint[], digests uuid[]) RETURNS moves LANGUAGE plpgsql AS $$
DECLARE
  m moves;
  items CURSOR FOR
    SELECT i.o::integer AS o, i.g, i.request, i.tier, i.digest, q.accept_sequence AS held,
      q.digest AS held_digest, CASE WHEN i.request IS NULL THEN i.o ELSE
        first_value(i.o) OVER (PARTITION BY i.name, i.request ORDER BY i.o) END::integer AS key
    FROM unnest(groups, names, requests, tiers, digests) WITH ORDINALITY
      AS i (g, name, request, tier, digest, o)
    LEFT JOIN requests q ON q.customer_id = i.name AND q.request_id = i.request
    ORDER BY i.o;
  r record;
  n integer := cardinality(groups);
  numbers bigint[] := array_fill(NULL::bigint, ARRAY[n]);
  named bigint[] := array_fill(NULL::bigint, ARRAY[n]);      -- by key, where this commit named it
  named_as uuid[] := array_fill(NULL::uuid, ARRAY[n]);
  keys integer[] := array_fill(NULL::integer, ARRAY[n]);     -- of what is new
  waiting bigint := b.queued[1] + b.queued[2] + b.scheduled[1] + b.scheduled[2];
  spare bigint := coalesce((room ->> 'waiting')::bigint, waiting) - waiting;
  counts boolean := (SELECT counts_customers FROM policy);
  per_customer bigint := (room ->> 'per_customer')::bigint;
  fresh bigint := 0;
  more bigint;
  ours integer;
  first integer;
  last integer;
  has_regular boolean;
  who record;
  refusal jsonb;
BEGIN
  m.refusals := '[]';
  OPEN items;
  FETCH items INTO r;
  WHILE r.g IS NOT NULL LOOP
    ours := r.g;
    first := r.o;
    more := 0;
    has_regular := false;
    refusal := NULL;
    WHILE r.g = ours LOOP
      last := r.o;
      numbers[last] := coalesce(r.held, named[r.key]);
      IF numbers[last] IS NULL THEN
        more := more + 1;
        numbers[last] := b.accepted + fresh + more;
        named[r.key] := numbers[last];
        named_as[r.key] := r.digest;
        keys[last] := r.key;
        has_regular := has_regular OR r.tier = 1;
      ELSIF refusal IS NULL AND coalesce(r.held_digest, named_as[r.key]) <> r.digest THEN
        refusal := jsonb_build_array(ours, 'reused', numbers[last], r.request);
      END IF;
      FETCH items INTO r;
    END LOOP;
    IF refusal IS NULL AND more > 0 AND fresh + more > spare
      + (room ->> CASE WHEN has_regular THEN 'regular' ELSE 'total' END)::bigint
    THEN
      refusal := jsonb_build_array(ours, 'room', more, NULL);
    END IF;
    IF refusal IS NULL AND more > 0 AND per_customer IS NOT NULL THEN
      SELECT i.name, count(*) AS orders INTO who
      FROM unnest(names[first:last], keys[first:last]) WITH ORDINALITY AS i (name, key, o)
      LEFT JOIN customers c ON c.customer_id = i.name
      WHERE i.key IS NOT NULL
      GROUP BY i.name, c.waiting HAVING coalesce(c.waiting, 0) + count(*) > per_customer
      ORDER BY min(i.o) LIMIT 1;
      IF FOUND THEN
        refusal := jsonb_build_array(ours, 'room', who.orders, who.name);
      END IF;
    END IF;
    IF refusal IS NULL THEN
      fresh := fresh + more;
      IF counts AND more > 0 THEN
        PERFORM count_customers(array_agg(i.name), +1)
        FROM unnest(names[first:last], keys[first:last]) AS i (name, key) WHERE i.key IS NOT NULL;
      END IF;
    ELSE
      m.refusals := m.refusals || jsonb_build_array(refusal);
      FOR o IN first .. last LOOP
        numbers[o] := NULL;
        IF keys[o] IS NOT NULL THEN
          named[keys[o]] := NULL;
          keys[o] := NULL;
        END IF;
      END LOOP;
    END IF;
  END LOOP;
  CLOSE items;
  m.answer := numbers;
  RETURN m;
END $$;

-- Stores the orders that `decide` found new, and lets them wait.
CREATE FUNCTION accept(b commits, numbers bigint[], names text[], requests text[], tiers smallint[],
  contents bytea[], digests uuid[], not_befores bigint[], expire_times bigint[], redrives bigint[])
  RETURNS moves LANGUAGE plpgsql AS $$
DECLARE
  m moves;
  head_start bigint := (SELECT vip_head_start FROM policy);
BEGIN
  WITH fresh AS MATERIALIZED (
    SELECT DISTINCT ON (number) *, CASE WHEN head_start IS NULL
      THEN ((tier = 1)::integer::bigint << 56) | number
      ELSE b.accept_time + (tier = 1)::integer * head_start END AS rank
    FROM unnest(numbers, names, requests, tiers, contents, digests, not_befores, expire_times, redrives)
      WITH ORDINALITY AS i (number, name, request, tier, content, digest, not_before, expire_time,
        redrive_of, o)
    WHERE number > b.accepted ORDER BY number, o),
  stored AS (
    INSERT INTO orders SELECT number, name, tier, rank, b.accept_time, content, request, not_before,
      expire_time, redrive_of, b.number FROM fresh),
  named AS (
    INSERT INTO requests SELECT name, request, number, digest FROM fresh WHERE request IS NOT NULL),
  queued AS (
    INSERT INTO ready SELECT tier, rank, number, 0, 0 FROM fresh WHERE not_before <= b.time),
  later AS (
    INSERT INTO scheduled SELECT number, not_before, 0, 0 FROM fresh WHERE not_before > b.time),
  watched AS (
    INSERT INTO expiries SELECT expire_time, number FROM fresh WHERE expire_time > 0)
  SELECT
    ARRAY[count(*) FILTER (WHERE not_before <= b.time AND tier = 1),
      count(*) FILTER (WHERE not_before <= b.time AND tier = 2)],
    ARRAY[count(*) FILTER (WHERE not_before > b.time AND tier = 1),
      count(*) FILTER (WHERE not_before > b.time AND tier = 2)],
    ARRAY[count(*) FILTER (WHERE tier = 1), count(*) FILTER (WHERE tier = 2)],
    ARRAY[min(rank) FILTER (WHERE tier = 1), min(rank) FILTER (WHERE tier = 2)],
    least(min(not_before) FILTER (WHERE not_before > b.time), min(expire_time) FILTER (WHERE expire_time > 0))
  INTO m.queued, m.scheduled, m.came, m.floor, m.due FROM fresh;
  RETURN m;
END $$;

-- The most urgent orders that may start, as many as asked for at the most. An order that is to be run
-- alone (crashes >= alone) is given only to a replica that has nothing in process, and with no other.
CREATE FUNCTION most_urgent(b commits, most integer, alone integer, is_idle boolean)
  RETURNS SETOF ready LANGUAGE plpgsql AS $$
DECLARE
  r ready;
  found integer := 0;
BEGIN
  FOR r IN
    (SELECT * FROM ready WHERE tier = 1 AND rank >= b.floor[1] AND NOT b.paused[1]
      ORDER BY tier, rank, accept_sequence LIMIT most)
    UNION ALL
    (SELECT * FROM ready WHERE tier = 2 AND rank >= b.floor[2] AND NOT b.paused[2]
      ORDER BY tier, rank, accept_sequence LIMIT most)
    ORDER BY rank, accept_sequence LIMIT most
  LOOP
    IF r.crash_count >= alone THEN
      IF is_idle AND found = 0 THEN
        RETURN NEXT r;
      END IF;
      EXIT;
    END IF;
    found := found + 1;
    RETURN NEXT r;
  END LOOP;
END $$;

-- Starts orders that are ready, in the order given. The answer is those that started.
CREATE FUNCTION claim(b commits, tiers smallint[], ranks bigint[], ids bigint[], session bigint)
  RETURNS moves LANGUAGE plpgsql AS $$
DECLARE
  m moves;
  names text[];
BEGIN
  WITH asked AS MATERIALIZED (
    SELECT DISTINCT ON (accept_sequence) * FROM unnest(tiers, ranks, ids) WITH ORDINALITY
      AS p (tier, rank, accept_sequence, o) ORDER BY accept_sequence, o),
  gone AS (
    DELETE FROM ready r USING asked a
    WHERE r.tier = a.tier AND r.rank = a.rank AND r.accept_sequence = a.accept_sequence
    RETURNING a.o, r.*),
  started AS MATERIALIZED (
    SELECT *, b.started + row_number() OVER (ORDER BY o) AS start FROM gone),
  leased AS (
    INSERT INTO leases SELECT accept_sequence, session, attempt_count + 1, crash_count, start, b.time
    FROM started),
  noted AS (
    INSERT INTO starts SELECT accept_sequence, start, b.time, b.number FROM started)
  SELECT
    ARRAY[-count(*) FILTER (WHERE tier = 1), -count(*) FILTER (WHERE tier = 2)],
    ARRAY[count(*) FILTER (WHERE tier = 1), count(*) FILTER (WHERE tier = 2)],
    count(*), array_agg(accept_sequence ORDER BY o)
  INTO m.queued, m.processing, m.started, m.answer FROM started;
  IF (SELECT counts_customers FROM policy) THEN
    SELECT array_agg(o.customer_id) INTO names
    FROM unnest(m.answer) AS i (id) JOIN orders o ON o.accept_sequence = i.id;
    PERFORM count_customers(names, -1);
  END IF;
  RETURN m;
END $$;

-- Forgets the oldest completions, their orders, and request_ids; returns how many of each.
CREATE FUNCTION prune(INOUT earliest bigint, completed_before bigint, requests_before bigint,
  most integer, OUT pruned bigint) LANGUAGE plpgsql AS $$
DECLARE
  last bigint;
BEGIN
  -- Times may go back with the clock: what is younger stays, and all that follows it.
  SELECT max(sequence) INTO last FROM (
    SELECT sequence, bool_and(complete_time < completed_before) OVER (ORDER BY sequence) AS is_old
    FROM (SELECT * FROM log WHERE sequence > earliest ORDER BY sequence LIMIT most) AS first) AS old
  WHERE is_old;
  pruned := coalesce(last - earliest, 0);
  IF last IS NOT NULL THEN
    UPDATE requests q
    SET outcome = g.outcome, accept_time = o.accept_time, complete_time = g.complete_time
    FROM log g JOIN orders o ON o.accept_sequence = g.accept_sequence
    WHERE g.sequence > prune.earliest AND g.sequence <= last
      AND q.customer_id = o.customer_id AND q.request_id = o.request_id;
    WITH gone AS (
      DELETE FROM log g WHERE g.sequence > prune.earliest AND g.sequence <= last
      RETURNING g.accept_sequence),
    orders_gone AS (
      DELETE FROM orders o USING gone WHERE o.accept_sequence = gone.accept_sequence)
    DELETE FROM starts s USING gone WHERE s.accept_sequence = gone.accept_sequence;
    earliest := last;
  END IF;
  IF requests_before IS NOT NULL THEN
    WITH old AS (
      DELETE FROM requests WHERE (customer_id, request_id) IN (
        SELECT customer_id, request_id FROM requests
        WHERE outcome <> 0 AND complete_time < requests_before LIMIT most)
      RETURNING 1)
    SELECT pruned + count(*) INTO pruned FROM old;
    DELETE FROM customers WHERE waiting = 0;
  END IF;
END $$;

-- Makes a set of changes, all of them or none. p says what is not a list of orders:
--   session, request   who asks, and its how manieth commit this is
--   now                the time, where it is not the database's
--   held               start_sequences of all that the session has in process: what else is leased to
--                      it was given by a commit whose answer was lost, and is given back
--   max_crashes, lease seconds after which a session that was silent is dead
--   opens              a replica takes stock, and takes back what dead ones had in process
--   cancels, pauses, room, claims (accept_sequences) or take {most, alone, idle}, page, prune
CREATE FUNCTION commit_changes(p jsonb,
  e_order bigint[], e_start bigint[], e_how smallint[], e_code bytea[], e_message bytea[],
  e_result bytea[], e_delay bigint[],
  a_group integer[], a_name text[], a_request text[], a_tier smallint[], a_content bytea[],
  a_digest uuid[], a_not_before bigint[], a_expire_time bigint[], a_redrive_of bigint[])
  RETURNS SETOF answer LANGUAGE plpgsql
  SET search_path = orderintake, pg_catalog
  SET lock_timeout = '10s'
  SET jit = off
  SET plan_cache_mode = force_generic_plan  -- the tables' sizes change faster than their statistics:
  SET enable_seqscan = off                  -- whatever those say, a queue goes by its indexes
  SET enable_hashjoin = off
  SET enable_mergejoin = off
AS $$
DECLARE
  b commits;
  was commits;
  m moves;
  me bigint := (p ->> 'session')::bigint;
  said jsonb := '{}';
  ids bigint[];
  lost bigint[];
  hows smallint[];
  dead bigint[];
  tiers smallint[];
  ranks bigint[];
  floors bigint[];
  t integer;
BEGIN
  -- Behind a pooler the transaction ends by a word of the replica, which may be frozen by then.
  PERFORM set_config('idle_in_transaction_session_timeout', '5s', true);
  PERFORM pg_advisory_xact_lock(8026370375060648052);  -- held until this commit is durable and seen
  SELECT * INTO b FROM commits ORDER BY number DESC LIMIT 1;
  was := b;
  IF EXISTS (SELECT FROM commits WHERE session_id = me AND request >= (p ->> 'request')::bigint) THEN
    RETURN NEXT ROW(0, '{"is_superseded": true}'::jsonb, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
      NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::answer;
    RETURN;
  END IF;
  b.number := b.number + 1;
  b.session_id := me;
  b.request := (p ->> 'request')::bigint;
  b.time := greatest(b.accept_time, coalesce((p ->> 'now')::bigint,
    floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint));

  -- what is due, and what dead replicas left
  IF NOT p ? 'opens' THEN
    b := sweep(b);
  END IF;
  -- Who was cut off itself takes nobody for dead until it has been alive again for a lease.
  IF p ? 'opens' OR EXISTS (SELECT FROM sessions WHERE session_id = me
    AND expires_at > clock_timestamp()
    AND since <= clock_timestamp() - make_interval(secs => (p ->> 'lease')::double precision))
  THEN
    dead := ARRAY(SELECT session_id FROM sessions WHERE expires_at < clock_timestamp());
    IF cardinality(dead) > 0 THEN
      m := reap(b, dead, (p ->> 'max_crashes')::integer);
      b := plus(b, m);
      said := said || jsonb_build_object('reaped', m.answer);
    END IF;
  END IF;
  IF p ? 'held' THEN
    SELECT array_agg(accept_sequence), array_agg(start_sequence), array_agg(1)
    INTO ids, lost, hows FROM leases l WHERE session_id = me AND NOT EXISTS (
      SELECT FROM jsonb_array_elements_text(p -> 'held') AS h (start)
      WHERE h.start::bigint = l.start_sequence);
    b := plus(b, end_attempts(b, ids, lost, hows, NULL, NULL, NULL, NULL));
  END IF;

  -- what is over
  IF cardinality(e_order) > 0 THEN
    m := end_attempts(b, e_order, e_start, e_how, e_code, e_message, e_result, e_delay);
    b := plus(b, m);
    said := said || jsonb_build_object('attempts', m.answer);
  END IF;
  IF p ? 'cancels' THEN
    ids := ARRAY(SELECT jsonb_array_elements_text(p -> 'cancels')::bigint);
    b := plus(b, end_waiting(b, ids, 6));
    UPDATE leases SET cancel_requested = true
    WHERE accept_sequence = ANY (ids) AND NOT cancel_requested;
    IF FOUND THEN
      b.cancels := b.cancels + 1;
    END IF;
    RETURN QUERY SELECT * FROM standing(3::smallint, ids);
  END IF;
  FOR t IN SELECT jsonb_object_keys(p -> 'pauses')::integer LOOP
    IF b.paused[t] <> (p -> 'pauses' ->> t::text)::boolean THEN
      b.paused[t] := NOT b.paused[t];
      INSERT INTO pauses (tier, time, is_paused, commit_number)
      VALUES (t, b.time, b.paused[t], b.number);
    END IF;
  END LOOP;

  -- what is new
  IF cardinality(a_group) > 0 THEN
    m := decide(b, p -> 'room', a_group, a_name, a_request, a_tier, a_digest);
    ids := ARRAY(SELECT DISTINCT n FROM unnest(m.answer) AS n WHERE n <= b.accepted);
    said := said || jsonb_build_object('numbers', m.answer, 'refusals', m.refusals,
      'accepted_before', b.accepted);
    IF b.accepted < (SELECT max(n) FROM unnest(m.answer) AS n) THEN
      b.accept_time := b.time;
      b := plus(b, accept(b, m.answer, a_name, a_request, a_tier, a_content, a_digest, a_not_before,
        a_expire_time, a_redrive_of));
    END IF;
    IF cardinality(ids) > 0 THEN
      RETURN QUERY SELECT * FROM standing(1::smallint, ids);
      said := said || jsonb_build_object('pruned_orders', (
        SELECT jsonb_object_agg(q.accept_sequence,
          jsonb_build_array(q.outcome, q.accept_time, q.complete_time))
        FROM unnest(a_name, a_request) AS i (name, request)
        JOIN requests q ON q.customer_id = i.name AND q.request_id = i.request
        WHERE q.outcome <> 0));
    END IF;
    said := said || jsonb_build_object('queued_then', b.queued, 'overdue', (
      SELECT count(*) FROM ready WHERE tier = 1 AND rank <= b.time
        AND (SELECT vip_head_start FROM policy) IS NOT NULL));
  END IF;

  -- what starts
  IF p ? 'claims' OR p ? 'take' THEN
    IF NOT EXISTS (SELECT FROM sessions WHERE session_id = me AND expires_at > clock_timestamp()) THEN
      said := said || '{"is_dead": true}';
    ELSE
      IF p ? 'claims' THEN
        SELECT array_agg(r.tier ORDER BY c.o), array_agg(r.rank ORDER BY c.o),
          array_agg(r.accept_sequence ORDER BY c.o) INTO tiers, ranks, ids
        FROM jsonb_array_elements_text(p -> 'claims') WITH ORDINALITY AS c (id, o)
        JOIN orders x ON x.accept_sequence = c.id::bigint
        JOIN ready r ON r.tier = x.tier AND r.rank = x.rank
          AND r.accept_sequence = x.accept_sequence;
      ELSE
        SELECT array_agg(r.tier ORDER BY r.rank, r.accept_sequence),
          array_agg(r.rank ORDER BY r.rank, r.accept_sequence),
          array_agg(r.accept_sequence ORDER BY r.rank, r.accept_sequence),
          ARRAY[coalesce(max(r.rank) FILTER (WHERE r.tier = 1), b.floor[1]),
            coalesce(max(r.rank) FILTER (WHERE r.tier = 2), b.floor[2])]
        INTO tiers, ranks, ids, floors
        FROM most_urgent(b, (p -> 'take' ->> 'most')::integer,
          (p -> 'take' ->> 'alone')::integer, (p -> 'take' ->> 'idle')::boolean) AS r;
        b.floor := floors;
      END IF;
      IF cardinality(ids) > 0 THEN
        m := claim(b, tiers, ranks, ids, me);
        b := plus(b, m);
        RETURN QUERY SELECT * FROM standing(2::smallint, m.answer);
      END IF;
    END IF;
  END IF;

  -- what is old
  IF p ? 'prune' THEN
    SELECT f.earliest, f.pruned INTO b.earliest, t FROM prune(b.earliest,
      (p -> 'prune' ->> 'completed_before')::bigint, (p -> 'prune' ->> 'requests_before')::bigint,
      (p -> 'prune' ->> 'limit')::integer) AS f;
    said := said || jsonb_build_object('pruned', t);
  END IF;
  IF b.number % 256 = 0 THEN
    DELETE FROM commits WHERE number < b.number - 4096;
  END IF;

  IF p ? 'page' THEN
    said := said || jsonb_build_object('page', (
      SELECT jsonb_agg(jsonb_build_array(rank, accept_sequence, tier, crash_count)
        ORDER BY rank, accept_sequence)
      FROM (
        (SELECT * FROM ready WHERE tier = 1 AND NOT b.paused[1] AND (rank, accept_sequence)
            > ((p -> 'page' ->> 'rank')::bigint, (p -> 'page' ->> 'number')::bigint)
          ORDER BY tier, rank, accept_sequence LIMIT (p -> 'page' ->> 'limit')::bigint)
        UNION ALL
        (SELECT * FROM ready WHERE tier = 2 AND NOT b.paused[2] AND (rank, accept_sequence)
            > ((p -> 'page' ->> 'rank')::bigint, (p -> 'page' ->> 'number')::bigint)
          ORDER BY tier, rank, accept_sequence LIMIT (p -> 'page' ->> 'limit')::bigint)
        ORDER BY rank, accept_sequence LIMIT (p -> 'page' ->> 'limit')::bigint) AS page));
  END IF;

  -- A look that found nothing to do is no commit: it would be news to others, who would look in turn.
  -- An answer to a caller is one, also where nothing changed: it has to be as durable as what it tells.
  IF coalesce(cardinality(a_group), 0) + coalesce(cardinality(e_order), 0) > 0
    OR p ?| ARRAY['opens', 'held', 'cancels', 'pauses']
    OR (b.started, b.completed, b.queued, b.scheduled, b.next_due, b.due_floor, b.earliest)
      IS DISTINCT FROM (was.started, was.completed, was.queued, was.scheduled, was.next_due,
        was.due_floor, was.earliest)
  THEN
    INSERT INTO commits SELECT (b).*;
  ELSE
    b.number := was.number;
  END IF;
  said := said || to_jsonb(b) || jsonb_build_object('durability', CASE
    WHEN current_setting('fsync') = 'off' OR current_setting('synchronous_commit') = 'off' THEN 'RELAXED'
    WHEN current_setting('synchronous_standby_names') <> ''
      AND current_setting('synchronous_commit') <> 'local' THEN 'REPLICATED'
    ELSE 'FSYNC' END);
  RETURN NEXT ROW(0, said, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::answer;
END $$;
