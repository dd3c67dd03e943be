-- What operators did, each written in the transaction that did it; rows are only ever added. action is
-- the contract's Action; tier and accept_sequence tell to what, 0 where it is none; detail is JSON.
CREATE TABLE operator_actions (
  sequence        INTEGER PRIMARY KEY,
  time            INTEGER NOT NULL,
  caller          TEXT    NOT NULL,
  credential      TEXT    NOT NULL,
  action          INTEGER NOT NULL,
  tier            INTEGER NOT NULL,
  accept_sequence INTEGER NOT NULL,
  detail          TEXT    NOT NULL CHECK (length(detail) <= 1024),
  peer            TEXT    NOT NULL
);
CREATE INDEX operator_actions_of_order ON operator_actions (accept_sequence)
  WHERE accept_sequence > 0;
