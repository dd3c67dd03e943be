-- Workers in processes of their own: they have leases that outlive this process. is_local: it is
-- supervised, and ends with this process. ended_at: when it ended, 0 while it lives; such a row stays for
-- a while, so that late calls are given nothing.
CREATE TABLE workers (
  number      INTEGER PRIMARY KEY AUTOINCREMENT,
  worker_id   TEXT    NOT NULL UNIQUE,
  name        TEXT    NOT NULL DEFAULT '',
  capacity    INTEGER NOT NULL DEFAULT 0,
  since       INTEGER NOT NULL,
  is_local    INTEGER NOT NULL DEFAULT 0,
  is_stopping INTEGER NOT NULL DEFAULT 0,
  ended_at    INTEGER NOT NULL DEFAULT 0
);

-- Who has a lease: the number of a worker, 0: this process itself. By which of its calls it got it. Until
-- when the attempt must have ended, 0: any time. And whether the worker may have nothing else beside it.
ALTER TABLE leases ADD COLUMN worker INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN call INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN deadline INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN is_alone INTEGER NOT NULL DEFAULT 0;
CREATE INDEX leases_of_worker ON leases (worker) WHERE worker > 0;
CREATE INDEX leases_deadline ON leases (deadline) WHERE deadline > 0;

-- Attempts that a worker's report ended without a completion: what became of its order (the contract's
-- State), so that a repeat of the report is answered the same. Forgotten after a while.
CREATE TABLE ends (
  start_sequence INTEGER PRIMARY KEY,
  state          INTEGER NOT NULL,
  time           INTEGER NOT NULL
);
CREATE INDEX ends_time ON ends (time);
