-- least: 4
-- Failed orders are work: which of them were redriven (copy: the order that did, 0 if none has), and in
-- which order to list those that were not. Older functions would not tell of a copy that they place.
ALTER TABLE log ADD COLUMN copy bigint NOT NULL DEFAULT 0;
UPDATE log SET copy = c.number FROM (
  SELECT redrive_of, min(accept_sequence) AS number FROM orders WHERE redrive_of > 0 GROUP BY redrive_of) c
  WHERE c.redrive_of = log.accept_sequence;
CREATE INDEX log_failed ON log (sequence) WHERE failure_code IS NOT NULL;
CREATE INDEX log_to_redrive ON log (sequence) WHERE failure_code IS NOT NULL AND copy = 0;
CREATE INDEX log_to_redrive_by_code ON log (failure_code, sequence)
  WHERE failure_code IS NOT NULL AND copy = 0;
CREATE INDEX log_to_redrive_of_customer ON log (customer_id, sequence)
  WHERE failure_code IS NOT NULL AND copy = 0;

-- By which call many orders were changed at once, and where its list ends.
ALTER TABLE operator_actions ADD COLUMN request_id text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE operator_actions ADD COLUMN until bigint NOT NULL DEFAULT 0;
CREATE INDEX operator_actions_of_request ON operator_actions (request_id, sequence)
  WHERE request_id <> '';
