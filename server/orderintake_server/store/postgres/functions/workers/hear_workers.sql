-- Does what workers say (asked, of p): words, ends, deaths. Their reports are heard by settle.
CREATE FUNCTION hear_workers(w work, asked jsonb, p jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  dead bigint[];
BEGIN
  IF asked IS NULL THEN
    RETURN w;
  END IF;
  w := hear_words(w, asked -> 'words', p);
  w := end_workers(w, asked -> 'ends');
  dead := ARRAY(
    SELECT number FROM workers WHERE ended_at IS NULL
      AND worker_id IN (SELECT jsonb_array_elements_text(asked -> 'deaths')));
  RETURN CASE WHEN cardinality(dead) > 0 THEN bury(w, dead, (p ->> 'max_crashes')::integer) ELSE w END;
END $$;
