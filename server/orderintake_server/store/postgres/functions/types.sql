-- What one step of a commit moved. Arrays of two numbers are one for each tier; NULL: none.
CREATE TYPE moves AS (
  queued bigint[], scheduled bigint[], processing bigint[], accepted bigint[], completed bigint[],
  started bigint,
  low_water_mark bigint[],    -- the least rank that came into the queue
  due bigint,                 -- the soonest time at which something that was moved is due
  deadline bigint,            -- the soonest at which an attempt that began has to be over
  waiting text[],             -- the customer of each order that begins to wait
  no_longer_waiting text[],   -- and of each that ceases to
  answer bigint[],            -- the orders that started
  places bigint[],            -- of attempts that are over: their places among those asked for,
  states smallint[],          -- how their orders stand now,
  as_asked boolean            -- and whether all of those asked for stand as they were asked to
);

-- A commit under way, which each step takes and gives on.
CREATE TYPE work AS (
  previous commits,           -- the newest row of commits when it began
  entry commits,              -- the row that it adds
  session_id bigint,
  is_alive boolean,           -- whether the session has not expired
  may_recover boolean,        -- and that unbroken for the time of a lease
  counts_customers boolean,
  head_start bigint,          -- of VIP orders, NULL: they come first
  summary jsonb,              -- what it answers beside orders
  ids bigint[],               -- the orders that the step before has to show
  places tid[],               -- of those that are to start: their places in the queue,
  worker_ids text[],          -- whose call gets each ('' is the replica itself; NULL: it gets all),
  calls bigint[]              -- and which call
);

-- What commit_changes answers: orders as they stand, those that were accepted before (kind 1), those
-- that start (2), those that were to be cancelled (3); and last the summary (0).
CREATE TYPE answer AS (
  kind smallint, summary jsonb,
  accept_sequence bigint, customer_id text, tier smallint, content bytea, accept_time bigint,
  not_before bigint, expire_time bigint, redrive_of bigint, trace bytea,
  queued integer, scheduled integer, attempt_count integer, start_sequence bigint, start_time bigint,
  sequence bigint, outcome smallint, logged_attempts integer, logged_start bigint,
  logged_start_time bigint, complete_time bigint, failure_code bytea, failure_message bytea,
  result bytea, crash_count integer
);

-- An attempt that is over, with its order, which waits again; due: for the next attempt. uncounted: its
-- attempts without this one, unless the process died in it. is_report: a worker ended it.
CREATE TYPE attempt AS (
  accept_sequence bigint, tier smallint, rank bigint, customer_id text, expire_time bigint,
  uncounted integer, attempt_count integer, crash_count integer, state smallint, due bigint,
  start_sequence bigint, is_report boolean
);

-- Slots that one worker offers by one call; '' is the replica itself. Who is closed gets nothing: it is
-- over, or it has an order that is to be run alone, or the call was given something before (again).
CREATE TYPE take AS (
  worker_id text, call bigint, room integer, is_closed boolean, is_busy boolean, is_over boolean,
  again bigint[]
);

