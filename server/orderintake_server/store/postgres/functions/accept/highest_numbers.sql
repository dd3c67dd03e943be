-- The highest number that may be given now to an order of a group with a regular one, and of a group
-- without. Capacity is what its replica saw, when so many waited; it is spent or gained since.
CREATE FUNCTION highest_numbers(e commits, capacity jsonb) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
  waiting bigint := e.queued[1] + e.queued[2] + e.scheduled[1] + e.scheduled[2];
  spare bigint := coalesce((capacity ->> 'waiting')::bigint, waiting) - waiting;
BEGIN
  RETURN ARRAY[e.accepted + spare + (capacity ->> 'regular')::bigint,
    e.accepted + spare + (capacity ->> 'total')::bigint];
END $$;
