-- needs: 1
-- Webhooks read the events in their order, each from where it stands; deliveries are what has been tried.

CREATE TABLE webhooks (
  id              TEXT PRIMARY KEY,
  kid             TEXT NOT NULL,           -- the secret key that its secret is derived from
  version         INTEGER NOT NULL,        -- of its secret
  former_kid      TEXT,                    -- of the version before, which signs too for a while
  rotated_at      INTEGER,
  url             TEXT NOT NULL,
  description     TEXT NOT NULL,
  events          TEXT NOT NULL,           -- names and patterns, a JSON list
  enabled         INTEGER NOT NULL,
  disabled_reason TEXT,
  next_seq        INTEGER NOT NULL,        -- the first event that it has not had
  failures        INTEGER NOT NULL,        -- in a row
  due_at          INTEGER NOT NULL,
  failing_since   INTEGER,
  last_success_at INTEGER,
  lease_id        TEXT,
  lease_until     INTEGER NOT NULL,
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL
);

CREATE TABLE deliveries (
  id          TEXT PRIMARY KEY,
  webhook_id  TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
  event_id    TEXT NOT NULL,
  event_type  TEXT NOT NULL,
  created_at  INTEGER NOT NULL,
  attempts    INTEGER NOT NULL,
  last_at     INTEGER,                     -- when it was last tried
  wanted_at   INTEGER,                     -- somebody wants it tried, out of turn
  delivered_at INTEGER,
  status_code INTEGER,
  error       TEXT,
  duration_ms INTEGER
);
CREATE UNIQUE INDEX deliveries_of_events ON deliveries (webhook_id, event_id);
CREATE INDEX deliveries_wanted ON deliveries (webhook_id, wanted_at) WHERE wanted_at IS NOT NULL;
CREATE INDEX deliveries_by_time ON deliveries (created_at);
CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, id);
