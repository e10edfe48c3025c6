-- The queue is what has a `rank_us`; a mission has one from when it is to run until somebody claims it. `queued_us`: since
-- when it waits. `rank_us`: the smaller, the sooner its owner's missions run: `queued_us` less what its priority is worth in
-- waiting time. `waiting_tool`: the tool that has no place for it; empty if it waits for a place alone.
ALTER TABLE missions ADD COLUMN queued_us BIGINT NOT NULL DEFAULT 0;
ALTER TABLE missions ADD COLUMN rank_us BIGINT;
ALTER TABLE missions ADD COLUMN waiting_tool TEXT NOT NULL DEFAULT '';
-- Holds what waits and nothing else, however many missions are stored. The first of each owner is found by skipping.
CREATE INDEX missions_queue ON missions (state, waiting_tool, owner, rank_us, id, queued_us) WHERE rank_us IS NOT NULL;

-- How long a mission waits for what one point of priority is worth: the same for all processes, as the ranks rest on it.
CREATE TABLE queue_policy (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  ageing_us BIGINT NOT NULL
);
INSERT INTO queue_policy (one, ageing_us) VALUES (1, 10000000);
