-- Who offers to take orders, in the order of offering: asked are [worker_id, call, how many] each, where
-- worker_id '' is the replica itself, which may be idle. Closed is who stops or has ended (is_over), who
-- has an order that is to be run alone, and the call that was given something before (again).
CREATE FUNCTION takes(asked jsonb, alone integer, is_idle boolean) RETURNS take[]
  LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (
    SELECT array_agg((a.worker_id, a.call, a.room, is_over OR suspects > 0 OR again IS NOT NULL,
      CASE WHEN a.worker_id = '' THEN NOT is_idle ELSE orders > 0 END, is_over,
      CASE WHEN NOT is_over THEN again END)::take ORDER BY o)
    FROM jsonb_array_elements(asked) WITH ORDINALITY AS t (said, o)
    CROSS JOIN LATERAL (
      SELECT said ->> 0, (said ->> 1)::bigint, (said ->> 2)::integer) AS a (worker_id, call, room)
    LEFT JOIN workers k ON k.worker_id = a.worker_id
    CROSS JOIN LATERAL (SELECT coalesce(stops(k), false) AS is_over) AS s
    CROSS JOIN LATERAL (
      SELECT count(*) AS orders, count(*) FILTER (WHERE l.crash_count >= alone) AS suspects,
        array_agg(l.accept_sequence ORDER BY l.start_sequence)
          FILTER (WHERE l.call = a.call AND a.call > 0) AS again
      FROM leases l WHERE l.worker = k.number AND l.worker > 0) AS has);
END $$;
