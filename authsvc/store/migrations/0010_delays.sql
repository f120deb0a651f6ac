-- needs: 1
-- How long somebody who failed has to wait before the next try counts.

CREATE TABLE delays (
  name          TEXT NOT NULL,
  key           TEXT NOT NULL,             -- a MAC: no address or e-mail lies here
  failures      INTEGER NOT NULL,          -- in a row; a try counts as one until it turns out to be right
  blocked_until INTEGER NOT NULL,
  forgotten_at  INTEGER NOT NULL,
  PRIMARY KEY (name, key)
);
CREATE INDEX delays_by_end ON delays (forgotten_at);
