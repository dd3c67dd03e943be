-- Tells by the summary who of those who offer to take orders takes nothing any more (closed), and which
-- orders calls got before and still have (told_again: as many rows of the answer, after those that start;
-- those of a call in the order of their starts).
CREATE FUNCTION tell_again(w work, offers take[]) RETURNS work LANGUAGE plpgsql AS $$
DECLARE
  closed jsonb := (
    SELECT jsonb_agg(DISTINCT worker_id) FROM unnest(offers) WHERE is_over);
  again bigint[] := ARRAY(
    SELECT id FROM unnest(offers) AS f, unnest(f.again) WITH ORDINALITY AS a (id, place)
    GROUP BY id ORDER BY min(place));
BEGIN
  IF closed IS NOT NULL THEN
    w.summary := w.summary || jsonb_build_object('closed', closed);
  END IF;
  IF cardinality(again) > 0 THEN
    w.summary := w.summary || jsonb_build_object('told_again', to_jsonb(again));
  END IF;
  RETURN w;
END $$;
