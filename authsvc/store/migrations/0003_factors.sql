-- needs: 1
-- Second factors, recovery codes, and how many of the sent SMS codes were ever used.

ALTER TABLE users ADD COLUMN mfa_enabled INTEGER NOT NULL DEFAULT 0;  -- whether there is a confirmed factor

CREATE TABLE factors (
  id           TEXT PRIMARY KEY,
  kid          TEXT NOT NULL,              -- the secret key that an authenticator's secret is derived from
  user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  type         TEXT NOT NULL,              -- factors/kinds.py
  label        TEXT NOT NULL,
  target       TEXT,                       -- the number that codes are sent to; NULL: the account's address, or none
  nonce        TEXT NOT NULL,
  created_at   INTEGER NOT NULL,
  confirmed_at INTEGER,                    -- NULL: it does not count yet, and goes soon
  last_step    INTEGER NOT NULL,           -- the last accepted time step; it only rises
  last_used_at INTEGER
);
CREATE INDEX factors_by_user ON factors (user_id, id);
CREATE INDEX factors_unconfirmed ON factors (created_at) WHERE confirmed_at IS NULL;

CREATE TABLE recovery_batches (
  user_id    TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
  id         TEXT NOT NULL,
  kid        TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  used       INTEGER NOT NULL              -- a bit for each used code
);

CREATE UNIQUE INDEX users_by_phone ON users (phone_number) WHERE phone_verified_at IS NOT NULL;

CREATE TABLE sms_counts (
  day      INTEGER NOT NULL,               -- days since the epoch
  prefix   TEXT NOT NULL,                  -- calling code and four digits
  sent     INTEGER NOT NULL,
  verified INTEGER NOT NULL,
  PRIMARY KEY (day, prefix)
);
