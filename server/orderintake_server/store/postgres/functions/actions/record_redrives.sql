-- Records which of the new orders operators redrive: redrives are [item, who], where who may be null,
-- copies_of and numbers by item. Of two items with one number the first one is new; those up to accepted were there before.
CREATE FUNCTION record_redrives(e commits, redrives jsonb, copies_of bigint[], numbers bigint[],
  accepted bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  i record;
BEGIN
  FOR i IN
    SELECT o, numbers[o] AS number, a.asked -> 1 AS who
    FROM jsonb_array_elements(redrives) AS a (asked),
      LATERAL (SELECT (a.asked ->> 0)::integer) AS p (o)
    WHERE a.asked -> 1 <> 'null' AND numbers[o] > accepted AND o = array_position(numbers, numbers[o])
    ORDER BY number
  LOOP
    PERFORM record_action(e, i.who, action_redrive_order(), 0, copies_of[i.o],
      jsonb_build_object('copy', i.number));
  END LOOP;
END $$;
