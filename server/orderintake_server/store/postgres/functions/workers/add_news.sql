-- Counts that something became of workers of which the replicas that hear them have to know.
CREATE FUNCTION add_news(w work) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  e commits := w.entry;
BEGIN
  e.news := e.news + 1;
  w.entry := e;
  RETURN w;
END $$;
