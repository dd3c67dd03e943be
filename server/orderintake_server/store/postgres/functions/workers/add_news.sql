-- Tells that something became of a worker of which the replicas that hear it have to know.
CREATE FUNCTION add_news(w work, worker_id text) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
BEGIN
  e.news := e.news + 1;
  w.entry := e;
  w.summary := w.summary || jsonb_build_object('told_workers',
    coalesce(w.summary -> 'told_workers', '[]') || to_jsonb(worker_id));
  RETURN w;
END $$;
