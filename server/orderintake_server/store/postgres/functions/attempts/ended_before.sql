-- Adds to the attempts that were ended (m) those of the reports, which come after the first few (quiet),
-- that had ended before in the same way: the log tells, or what was noted.
CREATE FUNCTION ended_before(e commits, m moves, quiet bigint, ids bigint[], starts bigint[], states smallint[])
  RETURNS moves LANGUAGE plpgsql AS $$
DECLARE
  more_places bigint[];
  more_states smallint[];
BEGIN
  SELECT array_agg(o), array_agg(became) INTO more_places, more_states
  FROM (
    SELECT o, coalesce(
      (SELECT g.outcome FROM log g WHERE g.accept_sequence = id AND g.start_sequence = start
        AND gives(state, g.outcome, g.failure_code)),
      (SELECT x.state FROM ends x WHERE x.start_sequence = start AND gives(a.state, x.state, NULL)
        AND x.time >= e.time - 600000000))
      AS became
    FROM unnest(ids, starts, states) WITH ORDINALITY AS a (id, start, state, o)
    WHERE o > quiet AND o <> ALL (coalesce(m.places, '{}'))) AS found
  WHERE became IS NOT NULL;
  m.places := coalesce(m.places, '{}') || coalesce(more_places, '{}');
  m.states := coalesce(m.states, '{}') || coalesce(more_states, '{}');
  RETURN m;
END $$;
