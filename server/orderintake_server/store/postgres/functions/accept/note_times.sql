-- Notes when the new orders fall due, and when they expire.
CREATE FUNCTION note_times(e commits) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO scheduled SELECT accept_sequence, not_before, 0, 0 FROM orders
  WHERE accept_sequence > e.accepted AND not_before > e.time;
  INSERT INTO expiries SELECT expire_time, accept_sequence FROM orders
  WHERE accept_sequence > e.accepted AND expire_time > 0;
END $$;
