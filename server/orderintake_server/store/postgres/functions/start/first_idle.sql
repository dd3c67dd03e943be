-- The first of those who offer to take an order who has nothing in process, and is not one of these.
CREATE FUNCTION first_idle(offers take[], others text[]) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1 .. cardinality(offers) LOOP
    IF NOT offers[i].is_closed AND NOT offers[i].is_busy AND offers[i].room > 0
      AND offers[i].worker_id <> ALL (others)
    THEN
      RETURN i;
    END IF;
  END LOOP;
  RETURN NULL;
END $$;
