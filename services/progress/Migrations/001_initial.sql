CREATE TABLE missions (
  mission_id TEXT PRIMARY KEY,
  last_sequence BIGINT NOT NULL,
  complete BIGINT NOT NULL DEFAULT 0
);

-- `event` is a buddy.progress.v1.ProgressEvent.
CREATE TABLE events (
  mission_id TEXT NOT NULL REFERENCES missions (mission_id),
  sequence BIGINT NOT NULL,
  event BLOB NOT NULL,
  PRIMARY KEY (mission_id, sequence)
);
