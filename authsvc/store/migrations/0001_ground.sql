-- The ground floor: accounts, their roles and sessions, the audit trail, token buckets and the outbox.
-- Times are milliseconds since the epoch, UTC. Ids are text (primitives/ids.py). JSON is text.

CREATE TABLE users (
  id                TEXT PRIMARY KEY,
  email             TEXT NOT NULL,
  email_key         TEXT NOT NULL UNIQUE,  -- the folded form: one per mailbox
  email_verified_at INTEGER,
  phone_number      TEXT,
  phone_verified_at INTEGER,
  name              TEXT,
  picture           TEXT,
  locale            TEXT,
  status            TEXT NOT NULL CHECK (status IN ('active', 'disabled')),
  password_hash     TEXT,
  generation        INTEGER NOT NULL,      -- access tokens of an older generation are refused
  version           INTEGER NOT NULL,      -- counts changes: the ETag
  metadata          TEXT NOT NULL,
  app_metadata      TEXT NOT NULL,
  created_at        INTEGER NOT NULL,
  updated_at        INTEGER NOT NULL,
  last_login_at     INTEGER
);

CREATE TABLE user_roles (
  user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  role       TEXT NOT NULL,
  granted_at INTEGER NOT NULL,
  PRIMARY KEY (user_id, role)
);
CREATE INDEX user_roles_by_role ON user_roles (role, user_id);

CREATE TABLE sessions (
  id           TEXT PRIMARY KEY,
  user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  kid          TEXT NOT NULL,              -- the secret key its refresh tokens are derived from
  counter      INTEGER NOT NULL,           -- the refresh token that counts; the ones before are spent
  rotated_at   INTEGER NOT NULL,
  created_at   INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL,
  expires_at   INTEGER NOT NULL,
  ended_at     INTEGER,
  auth_time    INTEGER NOT NULL,           -- the last time its owner proved who they are
  amr          TEXT NOT NULL,              -- RFC 8176 names, space-separated
  acr          TEXT NOT NULL,
  ip           TEXT,
  user_agent   TEXT,
  label        TEXT
);
CREATE INDEX sessions_by_user ON sessions (user_id, id);

CREATE TABLE events (
  seq           INTEGER PRIMARY KEY,
  id            TEXT NOT NULL UNIQUE,
  at            INTEGER NOT NULL,
  action        TEXT NOT NULL,
  outcome       TEXT NOT NULL,
  actor_type    TEXT NOT NULL,
  actor_id      TEXT,
  subject       TEXT,
  session_id    TEXT,
  request_id    TEXT,
  data          TEXT NOT NULL,
  -- Personal data stands apart: the row's MAC covers its digest, so erasing it leaves the trail verifiable.
  actor_label   TEXT,
  ip            TEXT,
  user_agent    TEXT,
  personal_salt TEXT,
  personal_mac  TEXT NOT NULL,
  kid           TEXT NOT NULL,
  mac           TEXT NOT NULL
);
CREATE INDEX events_by_subject ON events (subject, seq);
CREATE INDEX events_by_actor ON events (actor_id, seq);
CREATE INDEX events_by_action ON events (action, seq);

CREATE TABLE buckets (
  name    TEXT NOT NULL,
  key     TEXT NOT NULL,                   -- a MAC: no address or e-mail lies here
  full_at INTEGER NOT NULL,                -- when the bucket is full again, and its row is of no more use
  PRIMARY KEY (name, key)
);
CREATE INDEX buckets_by_full_at ON buckets (full_at);

CREATE TABLE outbox (
  id          TEXT PRIMARY KEY,
  kind        TEXT NOT NULL,
  target      TEXT NOT NULL,               -- what is delivered in order and apart from others
  ref         TEXT,                        -- the row that the message is rendered from when it is sent
  payload     TEXT NOT NULL,
  created_at  INTEGER NOT NULL,
  due_at      INTEGER NOT NULL,
  attempts    INTEGER NOT NULL,
  lease_id    TEXT,
  lease_until INTEGER,
  last_error  TEXT,
  done_at     INTEGER
);
CREATE INDEX outbox_due ON outbox (done_at, due_at);

CREATE TABLE secret_keys (
  kid      TEXT PRIMARY KEY,               -- which keys have made rows here; never the keys themselves
  added_at INTEGER NOT NULL
);

CREATE TABLE readiness (
  only_row   INTEGER PRIMARY KEY CHECK (only_row = 1),
  checked_at INTEGER NOT NULL
);
