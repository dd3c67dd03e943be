-- Failed orders are work: which of them were redriven (copy: the order that did, 0 if none has), and in
-- which order to list those that were not. An index goes on by sequence, the table's own key.
ALTER TABLE log ADD COLUMN copy INTEGER NOT NULL DEFAULT 0;
UPDATE log SET copy = c.number FROM (
  SELECT redrive_of, min(accept_sequence) AS number FROM orders WHERE redrive_of > 0 GROUP BY redrive_of) c
  WHERE c.redrive_of = log.accept_sequence;
CREATE INDEX log_failed ON log (outcome) WHERE failure_code IS NOT NULL;
CREATE INDEX log_to_redrive ON log (copy) WHERE failure_code IS NOT NULL AND copy = 0;
CREATE INDEX log_to_redrive_by_code ON log (failure_code) WHERE failure_code IS NOT NULL AND copy = 0;
CREATE INDEX log_to_redrive_of_customer ON log (customer_id) WHERE failure_code IS NOT NULL AND copy = 0;

-- By which call many orders were changed at once, and where its list ends.
ALTER TABLE operator_actions ADD COLUMN request_id TEXT NOT NULL DEFAULT '';
ALTER TABLE operator_actions ADD COLUMN until INTEGER NOT NULL DEFAULT 0;
CREATE INDEX operator_actions_of_request ON operator_actions (request_id) WHERE request_id <> '';
