-- The workers that are processes of their own, each until it is dead, and a while longer when it has ended
-- (ended_at, 0 before): then it is leased nothing any more. supervisor: the session of the replica whose
-- child it is, 0 for none. expires_at: it is dead unless it was heard by then.
CREATE TABLE workers (
  number      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  worker_id   text        COLLATE "C" NOT NULL UNIQUE,
  name        text        NOT NULL DEFAULT '',
  capacity    integer     NOT NULL DEFAULT 0,
  is_stopping boolean     NOT NULL DEFAULT false,
  supervisor  bigint      NOT NULL DEFAULT 0,
  since       timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at  timestamptz NOT NULL,
  ended_at    bigint      NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE INDEX workers_ended ON workers (ended_at) WHERE ended_at > 0;

-- By which worker's call an order is in process (0: by this replica itself), when the attempt is over
-- whatever the worker says (0: never), and whether it has to be alone there. Theirs are of session 0, so
-- that older functions let them be.
ALTER TABLE leases
  ADD COLUMN worker   bigint NOT NULL DEFAULT 0,
  ADD COLUMN call     bigint NOT NULL DEFAULT 0,
  ADD COLUMN deadline bigint NOT NULL DEFAULT 0,
  ADD COLUMN is_alone boolean NOT NULL DEFAULT false;
CREATE INDEX leases_of_worker ON leases (worker, call) WHERE worker > 0;
CREATE INDEX leases_deadline ON leases (deadline) WHERE deadline > 0;

-- The attempts that a worker ended by its word and whose orders wait again (state): a repeat of that word
-- is known by it. Forgotten after some minutes.
CREATE TABLE ends (
  start_sequence bigint   PRIMARY KEY,
  state          smallint NOT NULL,
  time           bigint   NOT NULL
);
CREATE INDEX ends_by_time ON ends (time);

-- next_deadline: the soonest of all leases, or sooner. news: how often something became of workers of
-- which the replicas that hear them have to know. capacity: how many slots the workers have that live.
ALTER TABLE commits
  ADD COLUMN next_deadline bigint,
  ADD COLUMN news          bigint NOT NULL DEFAULT 0,
  ADD COLUMN capacity      bigint NOT NULL DEFAULT 0;
