-- needs: 1
-- Identities: who somebody is at an OAuth provider, and whose account here that is.

CREATE TABLE identities (
  id             TEXT PRIMARY KEY,
  user_id        TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  provider       TEXT NOT NULL,            -- its name in the settings
  realm          TEXT NOT NULL,            -- the issuer: under the same name another one has other people
  subject        TEXT NOT NULL,
  email          TEXT,                     -- as the provider last said; never what anybody is found by
  email_verified INTEGER NOT NULL,
  created_at     INTEGER NOT NULL,
  last_used_at   INTEGER NOT NULL
);
CREATE UNIQUE INDEX identities_by_subject ON identities (provider, realm, subject);
CREATE UNIQUE INDEX identities_by_user ON identities (user_id, provider);
