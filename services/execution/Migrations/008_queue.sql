-- `queued_us`: since when it waits to be run. `rank_us`: the smaller, the sooner its owner's missions run: `queued_us`
-- less what its priority is worth in waiting time. `waiting_tool`: the tool whose calls it has to wait for.
ALTER TABLE missions ADD COLUMN queued_us BIGINT NOT NULL DEFAULT 0;
ALTER TABLE missions ADD COLUMN rank_us BIGINT NOT NULL DEFAULT 0;
ALTER TABLE missions ADD COLUMN waiting_tool TEXT NOT NULL DEFAULT '';
CREATE INDEX missions_queue ON missions (state, owner, rank_us, id);
