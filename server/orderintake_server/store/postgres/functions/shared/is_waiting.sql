-- Whether an order of this State waits: in the queue, or for a time to come.
CREATE FUNCTION is_waiting(state smallint) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT state IN (state_queued(), state_scheduled())
$$;
