-- What is to run (2: approved, 3: running) and is not in the queue: claimed, or forgotten by a process from before there
-- was one. Whatever has ended and whatever waits is left out, so it holds few missions.
CREATE INDEX missions_unqueued ON missions (state, rank_us, id) WHERE rank_us IS NULL AND state IN (2, 3);
