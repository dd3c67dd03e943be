-- Adds to each of what was taken back from a worker how its order stands now: it has ended, or waits.
CREATE FUNCTION what_became(taken jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (
    SELECT coalesce(jsonb_agg(lease || to_jsonb(coalesce(
      (SELECT g.outcome FROM log g WHERE g.accept_sequence = (lease ->> 0)::bigint), state_queued()))
      ORDER BY o), '[]')
    FROM jsonb_array_elements(taken) WITH ORDINALITY AS t (lease, o));
END $$;
