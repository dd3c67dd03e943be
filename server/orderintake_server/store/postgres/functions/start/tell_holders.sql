-- Adds to those that start (ids) what calls were given before. The summary tells which orders workers
-- have, [start_sequence, worker_id, call] each.
CREATE FUNCTION tell_holders(w work) RETURNS work LANGUAGE plpgsql AS $$
BEGIN
  w.ids := w.ids || ARRAY(
    SELECT a.id::bigint FROM jsonb_array_elements_text(w.summary -> 'told_again') AS a (id));
  w.summary := w.summary || jsonb_build_object('holders', (
    SELECT jsonb_agg(jsonb_build_array(l.start_sequence, k.worker_id, l.call))
    FROM unnest(w.ids) AS i (id) JOIN leases l ON l.accept_sequence = i.id
    JOIN workers k ON k.number = l.worker));
  RETURN w;
END $$;
