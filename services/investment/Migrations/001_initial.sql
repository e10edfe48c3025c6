-- All amounts are integer micro-units of the one currency in `budget`.
CREATE TABLE budget (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  currency TEXT NOT NULL,
  limit_micros BIGINT NOT NULL CHECK (limit_micros >= 0),
  reserved_micros BIGINT NOT NULL DEFAULT 0 CHECK (reserved_micros >= 0),
  spent_micros BIGINT NOT NULL DEFAULT 0 CHECK (spent_micros >= 0)
);

CREATE TABLE prices (
  tool TEXT PRIMARY KEY,
  per_call_micros BIGINT NOT NULL CHECK (per_call_micros >= 0),
  per_mebibyte_micros BIGINT NOT NULL CHECK (per_mebibyte_micros >= 0)
);

CREATE TABLE reservations (
  id TEXT PRIMARY KEY,
  mission_id TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('held', 'settled', 'released')),
  amount_micros BIGINT NOT NULL CHECK (amount_micros >= 0),
  settled_micros BIGINT NOT NULL DEFAULT 0 CHECK (settled_micros >= 0)
);

-- Append-only. The sums of the three change columns are the three figures of `budget`.
CREATE TABLE ledger (
  number INTEGER PRIMARY KEY,
  time_us BIGINT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('limit', 'reserve', 'settle', 'release')),
  reservation_id TEXT NOT NULL DEFAULT '',
  mission_id TEXT NOT NULL DEFAULT '',
  limit_change BIGINT NOT NULL DEFAULT 0,
  reserved_change BIGINT NOT NULL DEFAULT 0,
  spent_change BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX ledger_by_mission ON ledger (mission_id, number);

INSERT INTO prices (tool, per_call_micros, per_mebibyte_micros) VALUES
  ('calculate', 100, 0),
  ('data_analyze', 1000, 500),
  ('web_extract', 2000, 1000);
