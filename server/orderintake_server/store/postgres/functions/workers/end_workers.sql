-- Ends workers: what they have waits again, and the attempts are not counted; from now on nothing is leased
-- to them. The summary tells of each what it had.
CREATE FUNCTION end_workers(w work, worker_ids jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  k workers;
  name text;
  had jsonb;
  told jsonb := '[]';
BEGIN
  FOR name IN SELECT jsonb_array_elements_text(worker_ids) LOOP
    k := know_worker(name, 0);
    had := taken_back(k.number);
    w := apply_moves(w, give_back(w.entry, k.number));
    UPDATE workers SET is_stopping = true, ended_at = clock_timestamp()
    WHERE number = k.number AND ended_at IS NULL;
    told := told || jsonb_build_array(what_became(had));
    w := add_news(w);
  END LOOP;
  w.summary := w.summary || jsonb_build_object('worker_ends', told);
  RETURN w;
END $$;
