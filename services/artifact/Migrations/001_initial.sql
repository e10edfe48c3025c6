-- One row for each distinct content. Small contents are kept here, larger ones in a file named by their digest.
CREATE TABLE contents (
  sha256 TEXT PRIMARY KEY,
  size BIGINT NOT NULL,
  bytes BLOB
);

CREATE TABLE artifacts (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  media_type TEXT NOT NULL,
  sha256 TEXT NOT NULL REFERENCES contents (sha256),
  size BIGINT NOT NULL,
  mission_id TEXT NOT NULL DEFAULT '',
  put_key TEXT,
  created_us BIGINT NOT NULL
);
CREATE INDEX artifacts_by_mission ON artifacts (mission_id, id);
CREATE UNIQUE INDEX artifacts_by_key ON artifacts (mission_id, put_key) WHERE put_key IS NOT NULL;
