-- Makes a set of changes in one transaction, all of them or none. It is called once for each commit,
-- and is all that a replica sends: the lock that lets one commit happen at a time is held while the
-- database works and flushes, and never while it waits for a replica. What p says is in make_changes.
CREATE FUNCTION commit_changes(p jsonb,
  e_order bigint[], e_start bigint[], e_how smallint[], e_code bytea[], e_message bytea[],
  e_result bytea[], e_delay bigint[],
  a_group integer[], a_name text[], a_request text[], a_tier smallint[], a_content bytea[],
  a_digest uuid[], a_not_before bigint[], a_expire_time bigint[], a_redrive_of bigint[],
  a_trace bytea[])
  RETURNS SETOF answer LANGUAGE plpgsql
  SET search_path FROM CURRENT              -- this release's functions, then the tables
  SET lock_timeout = '10s'
  SET jit = off
  SET plan_cache_mode = force_generic_plan  -- the tables' sizes change faster than their statistics:
  SET enable_seqscan = off                  -- whatever those say, a queue goes by its indexes
  SET enable_hashjoin = off
  SET enable_mergejoin = off
AS $$
BEGIN
  -- Where there is a pooler the transaction ends by a word of the replica, which may be frozen by then.
  PERFORM set_config('idle_in_transaction_session_timeout', '5s', true),
    pg_advisory_xact_lock(8026370375060648052);  -- held until this commit is durable and seen
  -- To look into a table makes PostgreSQL take note of functions that were made anew while this commit
  -- waited: those called after it are the new ones.
  IF EXISTS (
    SELECT FROM commits
    WHERE session_id = (p ->> 'session')::bigint AND request >= (p ->> 'request')::bigint)
  THEN
    p := p || '{"is_superseded": true}';
  END IF;
  RETURN QUERY SELECT * FROM make_changes(p,
    e_order, e_start, e_how, e_code, e_message, e_result, e_delay,
    a_group, a_name, a_request, a_tier, a_content, a_digest, a_not_before, a_expire_time,
    a_redrive_of, a_trace);
END $$;
