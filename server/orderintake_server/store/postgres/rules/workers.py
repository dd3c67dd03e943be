"""What must be true of workers in processes of their own: queries as the audit has them."""

from __future__ import annotations

RULES = {
    "what a worker has is leased by one that is known and has not ended": """
        SELECT format('order %s, worker %s', accept_sequence, worker)
        FROM leases LEFT JOIN workers ON number = worker
        WHERE worker > 0 AND (number IS NULL OR ended_at > 0 OR session_id <> 0)""",
    "a worker that has an order to run alone has no other": """
        SELECT format('order %s, order %s', a.accept_sequence, b.accept_sequence)
        FROM leases a JOIN leases b ON b.worker = a.worker
        WHERE a.worker > 0 AND a.is_alone AND b.accept_sequence <> a.accept_sequence""",
    "no order has crashed in more attempts than it had": """
        SELECT format('order %s, %s attempts, %s crashes', accept_sequence, attempts, crash_count)
        FROM (
          SELECT accept_sequence, attempt_count AS attempts, crash_count FROM ready
          UNION ALL SELECT accept_sequence, attempt_count, crash_count FROM scheduled
          UNION ALL SELECT accept_sequence, attempt_count - 1, crash_count FROM leases) AS made
        WHERE crash_count > attempts""",
    "what was noted of an attempt is of one that began and is over": """
        SELECT format('start %s', start_sequence) FROM ends n
        WHERE NOT EXISTS (SELECT FROM starts s WHERE s.start_sequence = n.start_sequence)
          OR EXISTS (SELECT FROM leases l WHERE l.start_sequence = n.start_sequence)
          OR EXISTS (SELECT FROM log g WHERE g.start_sequence = n.start_sequence)""",
    "the next time at which an attempt has to be over is not too late": """
        SELECT format('the soonest is %s, the next %s', soonest, next_deadline)
        FROM newest, (SELECT min(deadline) AS soonest FROM leases WHERE deadline > 0) AS deadlines
        WHERE coalesce(next_deadline > soonest, soonest IS NOT NULL)""",
    "the slots of workers that live are counted": """
        SELECT format('%s slots, of %s', there, capacity)
        FROM newest, (
          SELECT coalesce(sum(capacity), 0) AS there FROM workers WHERE ended_at = 0) AS slots
        WHERE there <> capacity""",
}
