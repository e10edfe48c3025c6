-- One row: the newest position before the first entry of the audit log. Since then every event that got a position is an
-- entry too, so a log with fewer entries than positions was cut, even where its head went with it.
CREATE TABLE audit_start (
  id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
  position BIGINT NOT NULL
);
INSERT INTO audit_start (id, position)
  SELECT 1, position - COALESCE((SELECT number FROM audit_head), 0) FROM newest_position;
