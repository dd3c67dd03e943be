-- What operators did, each written by the commit that did it; rows are only added, and never deleted.
-- action is the contract's Action; tier and accept_sequence tell to what, 0 where it is none; detail is
-- JSON.
CREATE TABLE operator_actions (
  sequence        bigint   PRIMARY KEY,
  time            bigint   NOT NULL,
  caller          text     COLLATE "C" NOT NULL,
  credential      text     COLLATE "C" NOT NULL,
  action          smallint NOT NULL,
  tier            smallint NOT NULL,
  accept_sequence bigint   NOT NULL,
  detail          text     COLLATE "C" NOT NULL CHECK (length(detail) <= 1024),
  peer            text     COLLATE "C" NOT NULL,
  commit_number   bigint   NOT NULL
);
CREATE INDEX operator_actions_of_order ON operator_actions (accept_sequence, sequence)
  WHERE accept_sequence > 0;
