-- Lets the log tell of each order that is redriven by which copy; the first one counts. copies_of and
-- numbers by item; those up to accepted were there before.
CREATE FUNCTION mark_redriven(copies_of bigint[], numbers bigint[], accepted bigint) RETURNS void
  LANGUAGE sql AS $$
  UPDATE log g SET copy = c.number
  FROM (
    SELECT copy_of, min(number) AS number FROM unnest(copies_of, numbers) AS i (copy_of, number)
    WHERE copy_of > 0 AND number > accepted GROUP BY copy_of) AS c
  WHERE g.accept_sequence = c.copy_of AND g.copy = 0
$$;
