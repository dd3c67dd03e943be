-- Whether a report that asks for one State may have led to the other, with this failure. A failure leads
-- to another attempt or to the end, as the settings said at that time; a cancel ends whatever did not
-- succeed; and what could not be stored became a failure of its own.
CREATE FUNCTION gives(asked smallint, state smallint, code bytea) RETURNS boolean
  LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE code WHEN 'QUARANTINED' THEN false WHEN 'OUTCOME_NOT_STORED' THEN true ELSE CASE
    WHEN asked = state_succeeded() THEN state = state_succeeded()
    WHEN asked = state_queued() THEN state IN (state_queued(), state_cancelled())
    ELSE state IN (state_scheduled(), state_failed(), state_cancelled()) END END
$$;
