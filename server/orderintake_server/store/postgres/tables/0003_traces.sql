-- The trace context in which an order was placed: 25 bytes, the ids of the trace and of the span, and
-- its flags. Not in the content, whose digest tells repeats: a repeat has another.
ALTER TABLE orders ADD COLUMN trace bytea;
