-- needs: 1
-- Challenges (a link and perhaps a code that were mailed), and what the outbox needs to give up and to forget.

ALTER TABLE users ADD COLUMN familiar_since INTEGER NOT NULL DEFAULT 0;  -- devices seen before count no more: they may be a thief's

CREATE TABLE challenges (
  id         TEXT PRIMARY KEY,
  kid        TEXT NOT NULL,                -- the secret key that its link and codes are derived from
  purpose    TEXT NOT NULL,                -- rules/challenges.py
  user_id    TEXT REFERENCES users (id) ON DELETE CASCADE,  -- NULL: the address had no account when it was asked for
  channel    TEXT NOT NULL,                -- email or sms
  target     TEXT NOT NULL,                -- the address or number it was sent to, and that using it proves
  target_key TEXT NOT NULL,                -- the folded form
  data       TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at    INTEGER,                      -- when it was used, or ceased to count
  sends      INTEGER NOT NULL,             -- counts the codes; the last one sent is the one that counts
  sent_at    INTEGER NOT NULL,
  attempts   INTEGER NOT NULL              -- codes tried
);
CREATE INDEX challenges_open ON challenges (target_key, purpose) WHERE used_at IS NULL;
CREATE INDEX challenges_by_user ON challenges (user_id);
CREATE INDEX challenges_by_end ON challenges (expires_at);

ALTER TABLE outbox ADD COLUMN user_id TEXT REFERENCES users (id) ON DELETE CASCADE;
ALTER TABLE outbox ADD COLUMN expires_at INTEGER NOT NULL DEFAULT 0;  -- when it is given up
ALTER TABLE outbox ADD COLUMN outcome TEXT;  -- how it ended: sent, needless, dead, dropped
DROP INDEX outbox_due;
CREATE INDEX outbox_open ON outbox (kind, due_at) WHERE done_at IS NULL;
CREATE INDEX outbox_done ON outbox (done_at) WHERE done_at IS NOT NULL;
CREATE INDEX outbox_by_user ON outbox (user_id);
