-- needs: 1
-- Roles beside the built-in ones, and API keys.

CREATE TABLE roles (
  name        TEXT PRIMARY KEY,
  description TEXT NOT NULL,
  caps        TEXT NOT NULL,               -- a JSON list
  created_at  INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL
);

CREATE TABLE api_keys (
  id           TEXT PRIMARY KEY,
  kid          TEXT NOT NULL,              -- the secret key that it is derived from
  name         TEXT NOT NULL,
  caps         TEXT NOT NULL,              -- a JSON list
  networks     TEXT NOT NULL,              -- where it may be used from, a JSON list; empty: anywhere
  created_by   TEXT,
  created_at   INTEGER NOT NULL,
  expires_at   INTEGER,
  revoked_at   INTEGER,
  last_used_at INTEGER                     -- to the minute or so
);
CREATE INDEX api_keys_revoked ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX api_keys_by_expiry ON api_keys (expires_at) WHERE expires_at IS NOT NULL;
