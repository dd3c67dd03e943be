-- Ends workers: what they have waits again, and the attempts are not counted; from now on nothing is leased
-- to them. The summary tells of each what it had.
CREATE FUNCTION end_workers(w work, worker_ids jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  id text;
  k workers;
  had jsonb;
  told jsonb := '[]';
BEGIN
  FOR id IN SELECT jsonb_array_elements_text(worker_ids) LOOP
    k := know_worker(id, 0);
    had := taken_back(k.number);
    w := apply_moves(w, give_back(w.entry, k.number));
    told := told || jsonb_build_array(what_became(had));
    IF k.ended_at = 0 THEN
      UPDATE workers SET is_stopping = true, ended_at = (w.entry).time WHERE number = k.number;
      w := add_news(w, NULL);
    END IF;
  END LOOP;
  w.summary := w.summary || jsonb_build_object('worker_ends', told);
  RETURN w;
END $$;
