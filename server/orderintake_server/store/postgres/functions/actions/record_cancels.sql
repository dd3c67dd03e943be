-- Records the cancels that changed an order: stopping are those in process that were asked to stop just
-- now, and what was logged after completed ended by them. The first cancel of an order changed it.
CREATE FUNCTION record_cancels(e commits, cancels jsonb, stopping bigint[], completed bigint)
  RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  i record;
BEGIN
  FOR i IN
    SELECT c.id, c.who, s.id IS NULL AS is_over FROM (
      SELECT DISTINCT ON (id) (a.asked ->> 0)::bigint AS id, a.asked -> 1 AS who, a.o
      FROM jsonb_array_elements(cancels) WITH ORDINALITY AS a (asked, o) ORDER BY id, a.o) AS c
    LEFT JOIN unnest(stopping) AS s (id) ON s.id = c.id
    LEFT JOIN log g ON g.accept_sequence = c.id AND g.sequence > completed
    WHERE c.who <> 'null' AND (s.id IS NOT NULL OR g.sequence IS NOT NULL)
    ORDER BY c.o
  LOOP
    PERFORM record_action(e, i.who, action_cancel_order(), 0, i.id, jsonb_build_object('outcome',
      CASE WHEN i.is_over THEN 'CANCELLED' ELSE 'CANCEL_REQUESTED' END));
  END LOOP;
END $$;
