-- How long the steps of missions that succeeded took, in microseconds, without the time in which they were held.
CREATE TABLE durations (
  mission_id TEXT PRIMARY KEY,
  recipe TEXT NOT NULL,
  tool TEXT NOT NULL,
  intent TEXT NOT NULL,
  finished_us BIGINT NOT NULL
);
