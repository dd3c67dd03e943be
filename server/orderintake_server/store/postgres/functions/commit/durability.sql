-- What is done to keep a commit before it is answered: a Durability, by name.
CREATE FUNCTION durability() RETURNS text LANGUAGE sql STABLE AS $$
  SELECT CASE
    WHEN current_setting('fsync') = 'off' OR current_setting('synchronous_commit') = 'off'
      THEN 'RELAXED'
    WHEN current_setting('synchronous_standby_names') <> ''
      AND current_setting('synchronous_commit') <> 'local' THEN 'REPLICATED'
    ELSE 'FSYNC' END
$$;
