-- Whose order each completion ended, in the log itself, so that a quiet customer's are found without
-- reading the others'. An index goes on by sequence, the table's own key.
ALTER TABLE log ADD COLUMN customer_id TEXT NOT NULL DEFAULT '';
ALTER TABLE log ADD COLUMN tier INTEGER NOT NULL DEFAULT 0;
UPDATE log SET customer_id = o.customer_id, tier = o.tier FROM orders o
  WHERE o.accept_sequence = log.accept_sequence;
CREATE INDEX log_of_customer ON log (customer_id);
CREATE INDEX log_of_tier ON log (tier);
