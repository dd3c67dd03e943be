-- is_stopping: an operator has asked this replica to stop. However it ends, no order's crash is counted.
ALTER TABLE sessions ADD COLUMN is_stopping boolean NOT NULL DEFAULT false;

-- When its last heartbeat came.
ALTER TABLE sessions ADD COLUMN beat_at timestamptz NOT NULL DEFAULT clock_timestamp();

-- leapt: by how many microseconds the database's clock has leapt in all, as far as delays of retries were
-- moved with it.
ALTER TABLE commits ADD COLUMN leapt bigint NOT NULL DEFAULT 0;
