-- `position` numbers the events of all missions in the order in which they were stored; 0 for those of before. `owner`,
-- `recipe` and `state` are what is filtered by; `facts` is a buddy.progress.v1.MissionFacts.
ALTER TABLE events ADD COLUMN position BIGINT NOT NULL DEFAULT 0;
