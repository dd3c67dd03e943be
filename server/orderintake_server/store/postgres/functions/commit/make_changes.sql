-- Makes a set of changes while no other commit is under way. p says what is not a list of orders:
--   session, request   who asks, and its how manieth commit this is
--   now                the time, where it is not the database's
--   quiet              how many of the attempts that are over are no reports of workers, and come first
--   work               {words, ends, deaths} of workers, see there; worker_lease: seconds after which one
--                      that was silent is dead; bury: to be looked for; attempt_limit: how long an attempt
--                      of theirs may take, in microseconds
--   held               start_sequences of all that the session has in process: what else is leased to
--                      it was started by a commit whose answer was lost, and is released
--   is_superseded      a later commit of the session was there before: nothing is done
--   max_crashes, lease seconds after which a session that was silent has expired
--   leap, leapt        by how much the clock leapt, and had leapt in all when that was seen
--   expected           what the clock says at the most if it did not leap
--   opens              a replica takes stock, and recovers what expired ones had in process
--   cancels            [accept_sequence, who] each; who is an operator's [name, credential, address,
--                      request_id, until]
--   cancels_waiting    [accept_sequences, who] each
--   pauses             [tier, whether to pause it, who] each
--   capacity, redrives [place in the list of new orders, who or null] each, of those that are copies
--   claims (accept_sequences), with their holders, or claim_next {alone, idle, and most or takes}; page,
--   prune
CREATE FUNCTION make_changes(p jsonb, e_order bigint[], e_start bigint[], e_how smallint[],
  e_code bytea[], e_message bytea[], e_result bytea[], e_delay bigint[],
  a_group integer[], a_name text[], a_request text[], a_tier smallint[], a_content bytea[],
  a_digest uuid[], a_not_before bigint[], a_expire_time bigint[], a_redrive_of bigint[],
  a_trace bytea[]) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
  w work;
  told answer;
BEGIN
  w.summary := p;
  IF NOT p ? 'is_superseded' THEN
    w := catch_up(p);
    w := settle(w, (p ->> 'quiet')::bigint, e_order, e_start, e_how, e_code, e_message, e_result, e_delay);
    w := hear_workers(w, p -> 'work', p);
    IF p ? 'cancels' THEN
      w := cancel(w, p -> 'cancels');
      RETURN QUERY SELECT * FROM standing(3::smallint, w.ids);
    END IF;
    w := set_pauses(cancel_waiting(w, p -> 'cancels_waiting'), p -> 'pauses');
    IF cardinality(a_group) > 0 THEN
      w := accept_groups(w, p, a_group, a_name, a_request, a_tier, a_content, a_digest,
        a_not_before, a_expire_time, a_redrive_of, a_trace);
      IF cardinality(w.ids) > 0 THEN
        RETURN QUERY SELECT * FROM standing(1::smallint, w.ids);
      END IF;
    END IF;
    IF p ?| ARRAY['claims', 'claim_next'] THEN
      w := start_orders(w, p);
      IF cardinality(w.ids) > 0 THEN
        RETURN QUERY SELECT * FROM started(w.ids);
      END IF;
    END IF;
    w := finish_commit(prune(w, p -> 'prune'), p,
      is_asked => cardinality(a_group) + cardinality(e_order) > 0);
  END IF;
  told.kind := 0;
  told.summary := w.summary;
  RETURN NEXT told;
END $$;
