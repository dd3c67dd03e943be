-- Brings what is counted to how everything stands after a step.
CREATE FUNCTION apply_moves(w work, m moves) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
BEGIN
  e.queued := add_counts(e.queued, m.queued);
  e.scheduled := add_counts(e.scheduled, m.scheduled);
  e.processing := add_counts(e.processing, m.processing);
  e.accepted_total := add_counts(e.accepted_total, m.accepted);
  e.completed_total := add_counts(e.completed_total, m.completed);
  e.accepted := e.accepted + coalesce(m.accepted[1] + m.accepted[2], 0);
  e.started := e.started + coalesce(m.started, 0);
  e.completed := e.completed + coalesce(m.completed[1] + m.completed[2], 0);
  e.low_water_mark := ARRAY[least(e.low_water_mark[1], m.low_water_mark[1]),
    least(e.low_water_mark[2], m.low_water_mark[2])];
  e.next_due := least(e.next_due, m.due);
  e.due_low_water_mark := least(e.due_low_water_mark, m.due);
  e.next_deadline := least(e.next_deadline, m.deadline);
  w.entry := e;
  IF w.counts_customers THEN
    PERFORM count_customers(m.waiting, +1);
    PERFORM count_customers(m.no_longer_waiting, -1);
  END IF;
  RETURN w;
END $$;
