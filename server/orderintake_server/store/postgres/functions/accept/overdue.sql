-- How many regular orders in the queue rank before every VIP order accepted at this time or later.
CREATE FUNCTION overdue(accept_time bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT count(*) FROM ready WHERE tier = 1 AND rank <= accept_time);
END $$;
