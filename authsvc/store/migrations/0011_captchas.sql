-- needs: 1
-- CAPTCHAs that were used: each counts once.

CREATE TABLE captchas (
  digest     TEXT PRIMARY KEY,             -- of a vendor's token, or of the challenge that was solved
  expires_at INTEGER NOT NULL              -- from then on it would not be taken anyway
);
CREATE INDEX captchas_by_expiry ON captchas (expires_at);
