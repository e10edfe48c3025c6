-- `record` is a buddy.mission.v1.Mission, read and written whole. The columns beside it are what is searched by.
CREATE TABLE missions (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  state INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  last_sequence BIGINT NOT NULL,
  record BLOB NOT NULL
);
CREATE INDEX missions_by_state ON missions (state, priority DESC, id);
CREATE INDEX missions_by_owner ON missions (owner, id);

-- One idempotency key of an owner makes one mission. `request` is the SubmitMissionRequest it came with.
CREATE TABLE submissions (
  owner TEXT NOT NULL,
  idempotency_key TEXT NOT NULL,
  mission_id TEXT NOT NULL REFERENCES missions (id),
  request BLOB NOT NULL,
  PRIMARY KEY (owner, idempotency_key)
);

-- What a tool returned, from the end of the execution step until finalize has stored it as artifacts.
CREATE TABLE tool_outputs (
  mission_id TEXT PRIMARY KEY REFERENCES missions (id),
  output BLOB NOT NULL
);
