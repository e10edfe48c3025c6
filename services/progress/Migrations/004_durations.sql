-- Missions that succeeded, for estimates of how long others will take; see FinishedRun. Times are active ones, in
-- microseconds, without what passed while the mission was held. `reports` holds the tool's own progress: pairs of a
-- millionth part of its work and the time into execution, separated by blanks.
CREATE TABLE durations (
  number INTEGER PRIMARY KEY,
  recipe TEXT NOT NULL,
  tool TEXT NOT NULL,
  intent TEXT NOT NULL,
  verification_us BIGINT NOT NULL,
  intent_us BIGINT NOT NULL,
  budget_us BIGINT NOT NULL,
  selection_us BIGINT NOT NULL,
  execution_us BIGINT NOT NULL,
  finalize_us BIGINT NOT NULL,
  reports TEXT NOT NULL
);

CREATE INDEX durations_by_key ON durations (intent, tool, recipe, number);

CREATE INDEX durations_by_recipe ON durations (recipe, number);
