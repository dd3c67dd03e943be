-- The rest of an order's life: cancelled, scheduled, retried, expired, quarantined, redriven, pruned.

-- How ranks were given (NULL: strictly); a server with another policy gives them anew. And the
-- latest accept time: accept times never go back, whatever the clock does.
-- since: the last order accepted before this policy; the rule of starts cannot be told across it.
CREATE TABLE policy (
  vip_head_start INTEGER, since INTEGER NOT NULL, last_accept_time INTEGER NOT NULL
);
INSERT INTO policy SELECT NULL, coalesce(max(accept_sequence), 0), coalesce(max(accept_time), 0)
  FROM orders;

ALTER TABLE orders ADD COLUMN request_id TEXT;
ALTER TABLE orders ADD COLUMN not_before INTEGER NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN expire_time INTEGER NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN redrive_of INTEGER NOT NULL DEFAULT 0;
UPDATE orders SET request_id = q.request_id FROM requests q
  WHERE q.accept_sequence = orders.accept_sequence;
CREATE INDEX orders_of_customer ON orders (customer_id, accept_sequence);

-- What a request_id's order came to, once the order itself has been pruned; 0 until then.
ALTER TABLE requests ADD COLUMN outcome INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN accept_time INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN complete_time INTEGER NOT NULL DEFAULT 0;
CREATE INDEX requests_pruned ON requests (complete_time) WHERE outcome <> 0;

-- crash_count: of the attempts, how many ended with the death of the process.
CREATE TABLE ready_2 (
  tier            INTEGER NOT NULL,
  rank            INTEGER NOT NULL,
  accept_sequence INTEGER NOT NULL,
  attempt_count   INTEGER NOT NULL,
  crash_count     INTEGER NOT NULL,
  PRIMARY KEY (tier, rank, accept_sequence)
) WITHOUT ROWID;
INSERT INTO ready_2 SELECT o.tier, r.rank, r.accept_sequence, r.attempt_count, 0
  FROM ready r JOIN orders o ON o.accept_sequence = r.accept_sequence;
DROP TABLE ready;
ALTER TABLE ready_2 RENAME TO ready;

ALTER TABLE leases ADD COLUMN crash_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN cancel_requested INTEGER NOT NULL DEFAULT 0;

-- What waits for a time to come: its not_before, or the delay before another attempt.
CREATE TABLE scheduled (
  accept_sequence INTEGER PRIMARY KEY,
  due_time        INTEGER NOT NULL,
  attempt_count   INTEGER NOT NULL,
  crash_count     INTEGER NOT NULL
);
CREATE INDEX scheduled_due ON scheduled (due_time, accept_sequence);

-- When to look whether an order still waits and must expire.
CREATE TABLE expiries (
  expire_time     INTEGER NOT NULL,
  accept_sequence INTEGER NOT NULL,
  PRIMARY KEY (expire_time, accept_sequence)
) WITHOUT ROWID;

-- The first completion that is still there, less one: older ones have been pruned.
CREATE TABLE pruned (sequence INTEGER NOT NULL);
INSERT INTO pruned VALUES (0);

-- Every start there was: what proves the order of starts. Rows are only ever added.
CREATE TABLE starts (
  accept_sequence INTEGER NOT NULL,
  start_sequence  INTEGER NOT NULL,
  start_time      INTEGER NOT NULL,
  PRIMARY KEY (accept_sequence, start_sequence)
) WITHOUT ROWID;
INSERT INTO starts SELECT accept_sequence, start_sequence, start_time FROM log;
INSERT INTO starts SELECT accept_sequence, start_sequence, start_time FROM leases;

-- When tiers were paused and resumed; the latest row of a tier tells whether it is now.
CREATE TABLE pauses (
  tier      INTEGER NOT NULL,
  time      INTEGER NOT NULL,
  is_paused INTEGER NOT NULL
);
