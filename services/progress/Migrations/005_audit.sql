-- Every event of every mission, each entry bound to the one before: see buddy.audit.v1.
CREATE TABLE audit (
  number BIGINT PRIMARY KEY,
  mission_id TEXT NOT NULL,
  event BLOB NOT NULL,
  hash BLOB NOT NULL
);
