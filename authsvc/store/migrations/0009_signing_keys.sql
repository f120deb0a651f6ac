-- needs: 1
-- Key pairs that sign access tokens. The private halves are sealed with a secret key, which never lies here.

CREATE TABLE signing_keys (
  kid          TEXT PRIMARY KEY,           -- RFC 7638; or HS256, for the time when sub-keys of the secret keys signed
  alg          TEXT NOT NULL,
  public       TEXT NOT NULL,              -- a JWK
  sealed       TEXT NOT NULL,              -- the private key, by AES-256-GCM
  secret_kid   TEXT NOT NULL,              -- the secret key that opens it
  state        TEXT NOT NULL CHECK (state IN ('next', 'current', 'retired')),
  created_at   INTEGER NOT NULL,
  activated_at INTEGER,
  retired_at   INTEGER,
  ends_at      INTEGER                     -- when the last token that it signed has run out
);
CREATE UNIQUE INDEX signing_keys_by_state ON signing_keys (state) WHERE state <> 'retired';
CREATE INDEX signing_keys_by_end ON signing_keys (ends_at) WHERE ends_at IS NOT NULL;
