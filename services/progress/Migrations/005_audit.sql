-- Every event of every mission, each entry bound to the one before: see buddy.audit.v1. Nothing here is ever changed or
-- deleted. `event` is a buddy.progress.v1.ProgressEvent; `mission_id` and `actor` are taken from it, to be found by.
-- Events that were stored before this table was there are not in it.
CREATE TABLE audit (
  number INTEGER PRIMARY KEY,
  mission_id TEXT NOT NULL,
  actor TEXT NOT NULL,
  event BLOB NOT NULL,
  hash BLOB NOT NULL
);

CREATE INDEX audit_by_mission ON audit (mission_id, number);

-- What people did: the rest is nearly everything.
CREATE INDEX audit_by_actor ON audit (actor, number) WHERE actor <> 'buddy';

-- The last entry, so that a log that was cut off at its end does not look whole.
CREATE TABLE audit_head (
  id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
  number BIGINT NOT NULL,
  hash BLOB NOT NULL
);
