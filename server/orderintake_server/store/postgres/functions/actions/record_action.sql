-- Records what an operator did, whose [name, credential, address, request_id, until] who is.
CREATE FUNCTION record_action(e commits, who jsonb, action smallint, tier integer,
  accept_sequence bigint, detail jsonb) RETURNS void LANGUAGE sql AS $$
  INSERT INTO operator_actions (sequence, time, caller, credential, action, tier, accept_sequence,
    detail, peer, request_id, until, commit_number)
  VALUES ((SELECT coalesce(max(sequence), 0) + 1 FROM operator_actions), e.time, who ->> 0,
    who ->> 1, action, tier, accept_sequence, detail::text, who ->> 2, who ->> 3,
    (who ->> 4)::bigint, e.number);
$$;
