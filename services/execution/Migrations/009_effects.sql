-- `begun_call`: the key of a call that has begun, must not be repeated unasked, and of which there is no output yet; empty
-- otherwise. `due_us`: the mission has ended without success; from then on the output is to be kept as its partial
-- result. NULL before.
ALTER TABLE tool_outputs ADD COLUMN begun_call TEXT NOT NULL DEFAULT '';
ALTER TABLE tool_outputs ADD COLUMN due_us BIGINT;
CREATE INDEX tool_outputs_due ON tool_outputs (due_us) WHERE due_us IS NOT NULL;
