-- Where an order stands is where its row is: ready, scheduled, leases or log. Times of orders are
-- microseconds since 1970. Tiers are numbered as in the contract: 1 regular, 2 VIP; an array of two
-- numbers is one for each, in that order. Only the functions
-- in the schema of a release change anything of this: commit_changes is what a server calls.

-- The name of this log, which is part of every cursor.
CREATE TABLE identity (log_id text NOT NULL);
INSERT INTO identity VALUES (substr(replace(gen_random_uuid()::text, '-', ''), 1, 8));

-- What all replicas go by. vip_head_start: how ranks were given (NULL: strictly). since: the last
-- order accepted before this policy; the rule of starts cannot be told across it.
CREATE TABLE policy (
  vip_head_start   bigint,
  counts_customers boolean NOT NULL,
  since            bigint  NOT NULL
);
INSERT INTO policy VALUES (NULL, false, 0);

-- One row for each commit, in their order: the newest says how everything stands. Rows are only added,
-- for a row that each commit changes would be slow to find while an old snapshot is held somewhere; the
-- oldest are deleted some time later.
CREATE TABLE commits (
  number      bigint   PRIMARY KEY,
  time        bigint   NOT NULL,
  session_id  bigint,
  request     bigint,
  accepted    bigint   NOT NULL,  -- the last number given of each kind
  started     bigint   NOT NULL,
  completed   bigint   NOT NULL,
  earliest    bigint   NOT NULL,  -- the newest completion that was forgotten
  accept_time bigint   NOT NULL,  -- of the last order: accept times never go back
  queued      bigint[] NOT NULL,  -- how many orders of each tier stand where
  scheduled   bigint[] NOT NULL,
  processing  bigint[] NOT NULL,
  accepted_total  bigint[] NOT NULL,  -- how many of each tier were ever accepted, and completed
  completed_total bigint[] NOT NULL,
  paused      boolean[] NOT NULL,
  cancels     bigint   NOT NULL,  -- how often an attempt under way was asked to stop
  next_due    bigint,             -- when the next waiting order falls due or expires
  low_water_mark     bigint[] NOT NULL,  -- no order of this tier is ready below this rank
  due_low_water_mark bigint   NOT NULL   -- no order falls due or expires before this time
);
CREATE UNIQUE INDEX commits_of_session ON commits (session_id, request);
INSERT INTO commits VALUES (0, 0, NULL, NULL, 0, 0, 0, 0, 0,
  '{0,0}', '{0,0}', '{0,0}', '{0,0}', '{0,0}', '{f,f}', 0, NULL, '{0,0}', 0);

-- What was accepted, and by which commit. Rows are only added, and deleted once they ended long ago.
CREATE TABLE orders (
  accept_sequence bigint   PRIMARY KEY,
  customer_id     text     COLLATE "C" NOT NULL,
  tier            smallint NOT NULL,
  rank            bigint   NOT NULL,
  accept_time     bigint   NOT NULL,
  content         bytea    NOT NULL,
  request_id      text     COLLATE "C",
  not_before      bigint   NOT NULL,
  expire_time     bigint   NOT NULL,
  redrive_of      bigint   NOT NULL,
  commit_number   bigint   NOT NULL
);
CREATE INDEX orders_of_customer ON orders (customer_id, accept_sequence);

-- Which order a customer's request_id made, what tells its content from another, and what became of it
-- once the order itself has been pruned (outcome 0 until then).
CREATE TABLE requests (
  customer_id     text     COLLATE "C" NOT NULL,
  request_id      text     COLLATE "C" NOT NULL,
  accept_sequence bigint   NOT NULL,
  digest          uuid     NOT NULL,
  outcome         smallint NOT NULL DEFAULT 0,
  accept_time     bigint   NOT NULL DEFAULT 0,
  complete_time   bigint   NOT NULL DEFAULT 0,
  PRIMARY KEY (customer_id, request_id)
);
CREATE INDEX requests_pruned ON requests (complete_time) WHERE outcome <> 0;

-- What waits in the queue, most urgent first within each tier.
CREATE TABLE ready (
  tier            smallint NOT NULL,
  rank            bigint   NOT NULL,
  accept_sequence bigint   NOT NULL,
  attempt_count   integer  NOT NULL,
  crash_count     integer  NOT NULL,
  PRIMARY KEY (tier, rank, accept_sequence)
);

-- What waits for a time to come: its not_before, or the delay before another attempt.
CREATE TABLE scheduled (
  accept_sequence bigint  PRIMARY KEY,
  due_time        bigint  NOT NULL,
  attempt_count   integer NOT NULL,
  crash_count     integer NOT NULL
);
CREATE INDEX scheduled_due ON scheduled (due_time, accept_sequence);

-- When to look whether an order still waits and must expire.
CREATE TABLE expiries (
  expire_time     bigint NOT NULL,
  accept_sequence bigint NOT NULL,
  PRIMARY KEY (expire_time, accept_sequence)
);

-- The replicas that are alive, each until it fails to say so. since: unbroken for so long.
CREATE TABLE sessions (
  session_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  replica    text        NOT NULL,
  workers    integer     NOT NULL,
  since      timestamptz NOT NULL,
  expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- What is in process, by whom; start_sequence tells one attempt from the next.
CREATE TABLE leases (
  accept_sequence  bigint  PRIMARY KEY,
  session_id       bigint  NOT NULL,
  attempt_count    integer NOT NULL,
  crash_count      integer NOT NULL,
  start_sequence   bigint  NOT NULL,
  start_time       bigint  NOT NULL,
  cancel_requested boolean NOT NULL DEFAULT false
);
CREATE INDEX leases_of_session ON leases (session_id);

-- Every start there was, and by which commit: what proves the order of starts.
CREATE TABLE starts (
  accept_sequence bigint NOT NULL,
  start_sequence  bigint NOT NULL,
  start_time      bigint NOT NULL,
  commit_number   bigint NOT NULL,
  PRIMARY KEY (accept_sequence, start_sequence)
);

-- What ended: the completion log. outcome is the contract's State.
CREATE TABLE log (
  sequence        bigint   PRIMARY KEY,
  accept_sequence bigint   NOT NULL UNIQUE,
  outcome         smallint NOT NULL,
  attempt_count   integer  NOT NULL,
  start_sequence  bigint   NOT NULL,
  start_time      bigint   NOT NULL,
  complete_time   bigint   NOT NULL,
  failure_code    bytea,  -- UTF-8, of any characters
  failure_message bytea,
  result          bytea,
  customer_id     text     COLLATE "C" NOT NULL,
  tier            smallint NOT NULL,
  commit_number   bigint   NOT NULL
);
CREATE INDEX log_of_customer ON log (customer_id, sequence);
CREATE INDEX log_of_tier ON log (tier, sequence);

-- When tiers were paused and resumed, and by which commit.
CREATE TABLE pauses (
  number        bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tier          smallint NOT NULL,
  time          bigint   NOT NULL,
  is_paused     boolean  NOT NULL,
  commit_number bigint   NOT NULL
);

-- How many orders of each customer wait, where the policy is to count them.
CREATE TABLE customers (
  customer_id text   COLLATE "C" PRIMARY KEY,
  waiting     bigint NOT NULL
) WITH (fillfactor = 50);

-- Rows come and go here: vacuum early and at full speed, and never wait for a lock to truncate.
ALTER TABLE ready SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
ALTER TABLE scheduled SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
ALTER TABLE leases SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
ALTER TABLE commits SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
