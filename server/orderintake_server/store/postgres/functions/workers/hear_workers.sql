-- Does what workers say (asked, of p): words, ends, deaths. Their reports are heard by settle.
CREATE FUNCTION hear_workers(w work, asked jsonb, p jsonb) RETURNS work LANGUAGE plpgsql AS $$
BEGIN
  IF asked IS NULL THEN
    RETURN w;
  END IF;
  PERFORM forget_workers((w.entry).time);
  w := end_workers(hear_words(w, asked -> 'words', p), asked -> 'ends');
  w := bury(w, ARRAY(
    SELECT number FROM workers WHERE ended_at = 0
      AND worker_id IN (SELECT jsonb_array_elements_text(asked -> 'deaths'))),
    (p ->> 'max_crashes')::integer);
  RETURN CASE WHEN asked -> 'words' = '[]' AND asked -> 'ends' = '[]' THEN w ELSE count_capacity(w) END;
END $$;
