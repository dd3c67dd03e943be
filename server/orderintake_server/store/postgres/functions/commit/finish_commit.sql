-- Adds the commit's row, if it is one, and completes the summary.
-- A look that found nothing to do is no commit: others would take it for a change, and look in turn.
-- An answer to a caller is one, also where nothing changed: it has to be as durable as what it tells.
CREATE FUNCTION finish_commit(w work, p jsonb, is_asked boolean) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
  o commits := w.previous;
BEGIN
  IF is_asked OR p ?| ARRAY['opens', 'held', 'cancels', 'cancels_waiting', 'pauses', 'work']
    OR w.summary ? 'told_again'
    OR (e.started, e.completed, e.queued, e.scheduled, e.next_due, e.due_low_water_mark, e.earliest,
        e.leapt, e.next_deadline, e.news, e.capacity)
      IS DISTINCT FROM (o.started, o.completed, o.queued, o.scheduled, o.next_due,
        o.due_low_water_mark, o.earliest, o.leapt, o.next_deadline, o.news, o.capacity)
  THEN
    INSERT INTO commits SELECT (e).*;
  ELSE
    e.number := o.number;
  END IF;
  IF e.number % 256 = 0 THEN
    DELETE FROM commits WHERE number < e.number - 4096;
  END IF;
  IF p ? 'page' THEN
    w.summary := w.summary || jsonb_build_object('page', page(e, p -> 'page'));
  END IF;
  w.summary := w.summary || to_jsonb(e) || jsonb_build_object('durability', durability());
  RETURN w;
END $$;
