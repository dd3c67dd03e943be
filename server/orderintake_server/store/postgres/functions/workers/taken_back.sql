-- Tells what a worker has in process, each as [accept and start sequence, tier, attempt and crash count],
-- in the order of acceptance.
CREATE FUNCTION taken_back(number bigint) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (
    SELECT coalesce(jsonb_agg(jsonb_build_array(l.accept_sequence, l.start_sequence, o.tier,
      l.attempt_count, l.crash_count) ORDER BY l.accept_sequence), '[]')
    FROM leases l JOIN orders o ON o.accept_sequence = l.accept_sequence
    WHERE l.worker = number AND l.worker > 0);
END $$;
