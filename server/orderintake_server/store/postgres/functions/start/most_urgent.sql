-- The most urgent orders that may start, as many as asked for at the most. An order that is to be run
-- alone (crashes >= alone) is given only to a replica that has nothing in process, and with no other.
CREATE FUNCTION most_urgent(e commits, asked jsonb) RETURNS SETOF ready LANGUAGE plpgsql AS $$
DECLARE
  most integer := asked ->> 'most';
  alone integer := asked ->> 'alone';
  r ready;
  found integer := 0;
BEGIN
  FOR r IN
    (SELECT * FROM ready WHERE tier = 1 AND rank >= e.low_water_mark[1] AND NOT e.paused[1]
      ORDER BY tier, rank, accept_sequence LIMIT most)
    UNION ALL
    (SELECT * FROM ready WHERE tier = 2 AND rank >= e.low_water_mark[2] AND NOT e.paused[2]
      ORDER BY tier, rank, accept_sequence LIMIT most)
    ORDER BY rank, accept_sequence LIMIT most
  LOOP
    IF r.crash_count >= alone THEN
      IF (asked ->> 'idle')::boolean AND found = 0 THEN
        RETURN NEXT r;
      END IF;
      EXIT;
    END IF;
    found := found + 1;
    RETURN NEXT r;
  END LOOP;
END $$;
