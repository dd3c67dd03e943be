-- Where an order stands is where its row is: ready, leases or log. Times are microseconds since 1970.

-- The names of this store and the last number given of each kind; a number is never given twice.
CREATE TABLE identity (log_id TEXT NOT NULL);
INSERT INTO identity VALUES (lower(hex(randomblob(4))));
CREATE TABLE counters (accepted INTEGER NOT NULL, started INTEGER NOT NULL, completed INTEGER NOT NULL);
INSERT INTO counters VALUES (0, 0, 0);

-- What was accepted; rows are only ever added.
CREATE TABLE orders (
  accept_sequence INTEGER PRIMARY KEY,
  customer_id     TEXT    NOT NULL,
  tier            INTEGER NOT NULL,
  rank            INTEGER NOT NULL,
  accept_time     INTEGER NOT NULL,
  content         BLOB    NOT NULL
);

-- Which order a customer's request_id made, and what tells its content from another.
CREATE TABLE requests (
  customer_id     TEXT    NOT NULL,
  request_id      TEXT    NOT NULL,
  accept_sequence INTEGER NOT NULL,
  digest          BLOB    NOT NULL,
  PRIMARY KEY (customer_id, request_id)
) WITHOUT ROWID;

-- What waits, most urgent first.
CREATE TABLE ready (
  rank            INTEGER NOT NULL,
  accept_sequence INTEGER NOT NULL,
  attempt_count   INTEGER NOT NULL,
  PRIMARY KEY (rank, accept_sequence)
) WITHOUT ROWID;

-- What is in process; start_sequence tells one attempt from the next.
CREATE TABLE leases (
  accept_sequence INTEGER PRIMARY KEY,
  attempt_count   INTEGER NOT NULL,
  start_sequence  INTEGER NOT NULL,
  start_time      INTEGER NOT NULL
);

-- What ended: the completion log. outcome is the contract's State.
CREATE TABLE log (
  sequence        INTEGER PRIMARY KEY,
  accept_sequence INTEGER NOT NULL UNIQUE,
  outcome         INTEGER NOT NULL,
  attempt_count   INTEGER NOT NULL,
  start_sequence  INTEGER NOT NULL,
  start_time      INTEGER NOT NULL,
  complete_time   INTEGER NOT NULL,
  failure_code    TEXT,
  failure_message TEXT,
  result          BLOB
);
