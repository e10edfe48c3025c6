-- `deadline_us`: when the mission must have ended; NULL if it need not. Only of missions that have not ended, so that the
-- next deadline is found at once. `stop_wanted`: 1 while a run that a command has interrupted is to be stopped.
ALTER TABLE missions ADD COLUMN deadline_us BIGINT;
ALTER TABLE missions ADD COLUMN stop_wanted BIGINT NOT NULL DEFAULT 0;
CREATE INDEX missions_by_deadline ON missions (deadline_us) WHERE deadline_us IS NOT NULL;
-- The recipe a mission was made from; empty without one.
ALTER TABLE missions ADD COLUMN recipe TEXT NOT NULL DEFAULT '';
CREATE INDEX missions_by_recipe ON missions (recipe, id) WHERE recipe <> '';
