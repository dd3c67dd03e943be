-- Lets replicas know that something became of a worker that they may hear. worker_id: it is news to the
-- worker itself, as the summary tells; NULL: the worker said it.
CREATE FUNCTION add_news(w work, worker_id text) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
BEGIN
  e.news := e.news + 1;
  w.entry := e;
  IF worker_id IS NOT NULL THEN
    w.summary := w.summary || jsonb_build_object('told_workers',
      coalesce(w.summary -> 'told_workers', '[]') || to_jsonb(worker_id));
  END IF;
  RETURN w;
END $$;
