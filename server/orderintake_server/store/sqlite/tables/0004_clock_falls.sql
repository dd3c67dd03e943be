-- Times may fall, for the clock may: a row tells after which accept, start and completion sequence and
-- after which pause it did, and by how much. With that added, times are in the order of the commits.
CREATE TABLE clock_falls (
  accepted     INTEGER NOT NULL,
  started      INTEGER NOT NULL,
  completed    INTEGER NOT NULL,
  pauses       INTEGER NOT NULL,
  microseconds INTEGER NOT NULL
);

-- When the latest of these numbers was given.
ALTER TABLE counters ADD COLUMN time INTEGER NOT NULL DEFAULT 0;
UPDATE counters SET time = coalesce((SELECT max(time) FROM (
  SELECT max(start_time) AS time FROM starts UNION ALL SELECT max(complete_time) FROM log
  UNION ALL SELECT max(time) FROM pauses UNION ALL SELECT last_accept_time FROM policy)), 0);
