-- The W3C `traceparent` of the call that submitted a mission; empty if it came without one. What the mission does later,
-- perhaps in another process, goes on in that trace.
ALTER TABLE missions ADD COLUMN trace_parent TEXT NOT NULL DEFAULT '';
