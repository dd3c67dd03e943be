-- Notes what is known of workers, [worker_id, name, capacity, is_stopping, is_local] each, where null says
-- nothing; a worker that is not known begins here. One that stops does so for good. The summary tells how
-- each stands.
CREATE FUNCTION hear_words(w work, words jsonb, p jsonb) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  said jsonb;
  k workers;
  stands jsonb := '[]';
BEGIN
  FOR said IN SELECT jsonb_array_elements(words) LOOP
    k := know_worker(said ->> 0, (p ->> 'worker_lease')::double precision);
    IF (said ->> 3)::boolean AND NOT k.is_stopping THEN
      k.is_stopping := true;
      w := add_news(w, NULL);
    END IF;
    UPDATE workers SET is_stopping = k.is_stopping, name = coalesce(said ->> 1, k.name),
      capacity = coalesce((said ->> 2)::integer, k.capacity), supervisor = CASE (said ->> 4)::boolean
        WHEN true THEN w.session_id WHEN false THEN 0 ELSE k.supervisor END
    WHERE number = k.number AND ended_at = 0;
    stands := stands || to_jsonb(CASE WHEN k.ended_at > 0 THEN 'ENDED'
      WHEN stops(k) THEN 'STOPS' ELSE 'WORKS' END);
  END LOOP;
  w.summary := w.summary || jsonb_build_object('words', stands);
  RETURN w;
END $$;
