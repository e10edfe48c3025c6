CREATE TABLE outcomes (
  mission_id TEXT PRIMARY KEY,
  tool TEXT NOT NULL,
  intent TEXT NOT NULL,
  succeeded BIGINT NOT NULL,
  time_us BIGINT NOT NULL
);

CREATE TABLE feedback (
  mission_id TEXT NOT NULL REFERENCES outcomes (mission_id),
  author TEXT NOT NULL,
  score DOUBLE PRECISION NOT NULL CHECK (score BETWEEN 0 AND 1),
  comment TEXT NOT NULL,
  correction TEXT NOT NULL,
  time_us BIGINT NOT NULL,
  PRIMARY KEY (mission_id, author)
);

-- What the posteriors are computed from, in this order. A signal that was replaced is kept but no longer counts.
CREATE TABLE signals (
  number INTEGER PRIMARY KEY,
  tool TEXT NOT NULL,
  intent TEXT NOT NULL,
  mission_id TEXT NOT NULL,
  author TEXT NOT NULL,
  score DOUBLE PRECISION NOT NULL,
  weight DOUBLE PRECISION NOT NULL,
  replaced BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX signals_by_tool ON signals (tool, intent, number);
CREATE INDEX signals_by_author ON signals (mission_id, author);

-- The state after the last signal of each tool and intent; can be rebuilt from `signals` at any time.
CREATE TABLE posteriors (
  tool TEXT NOT NULL,
  intent TEXT NOT NULL,
  favourable DOUBLE PRECISION NOT NULL,
  unfavourable DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (tool, intent)
);
