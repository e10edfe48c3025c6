-- `position` numbers the events of all missions in the order in which they were stored, without a gap; those from
-- before there were positions are numbered mission by mission. `event` is a buddy.progress.v1.ProgressEvent.
CREATE TABLE positioned (
  position INTEGER PRIMARY KEY,
  mission_id TEXT NOT NULL,
  sequence BIGINT NOT NULL,
  event BLOB NOT NULL
);
INSERT INTO positioned (position, mission_id, sequence, event)
  SELECT ROW_NUMBER() OVER (ORDER BY mission_id, sequence), mission_id, sequence, event FROM events;
DROP TABLE events;
ALTER TABLE positioned RENAME TO events;
CREATE UNIQUE INDEX events_of_mission ON events (mission_id, sequence);

-- One row: the newest position, which does not fall when events are pruned; and the highest of a pruned event, 0 before
-- any. Events up to that one may be missing, between others that are kept.
CREATE TABLE newest_position (
  id BIGINT PRIMARY KEY,
  position BIGINT NOT NULL,
  pruned_position BIGINT NOT NULL DEFAULT 0
);
INSERT INTO newest_position (id, position) SELECT 1, COALESCE(MAX(position), 0) FROM events;

-- The first event that is kept.
ALTER TABLE missions ADD COLUMN first_sequence BIGINT NOT NULL DEFAULT 1;
-- The newest buddy.progress.v1.MissionFacts.
ALTER TABLE missions ADD COLUMN facts BLOB;
-- A buddy.progress.v1.ProgressSnapshot folded from the events up to `base_sequence`, and since when the mission was held
-- then, in microseconds.
ALTER TABLE missions ADD COLUMN base BLOB;
ALTER TABLE missions ADD COLUMN base_sequence BIGINT NOT NULL DEFAULT 0;
ALTER TABLE missions ADD COLUMN base_held_us BIGINT;
-- When the mission ended, in microseconds, while events of it are kept; 0 if that has to be looked up.
ALTER TABLE missions ADD COLUMN ended_us BIGINT;
-- 1 if it has more events than a mission may.
ALTER TABLE missions ADD COLUMN is_long BIGINT NOT NULL DEFAULT 0;
UPDATE missions SET ended_us = 0 WHERE complete = 1;
CREATE INDEX missions_ended ON missions (ended_us) WHERE ended_us IS NOT NULL;
CREATE INDEX missions_long ON missions (mission_id) WHERE is_long = 1;
