-- needs: 1
-- Seals over the audit trail, and the indexes by which ended sessions and given-up messages are found and forgotten.

CREATE TABLE seals (
  through_seq INTEGER PRIMARY KEY,         -- the last row that it covers
  from_seq    INTEGER NOT NULL,            -- the first: the one after the seal before
  row_count   INTEGER NOT NULL,
  latest_at   INTEGER NOT NULL,            -- the latest time of any row up to here: it only rises
  earliest_at INTEGER,                     -- of its rows, where the clock had been set back; otherwise NULL
  marks       TEXT NOT NULL,               -- eight characters of each row's MAC, to say which row it is that does not fit
  digest      TEXT NOT NULL,               -- the MAC over the seal before, these columns, and every row's number and MAC
  kid         TEXT NOT NULL,
  sealed_at   INTEGER NOT NULL,
  pruned      TEXT                         -- a MAC: the rows up to here were forgotten by us, not cut off by somebody
);
CREATE INDEX seals_by_latest ON seals (latest_at, through_seq);
CREATE INDEX seals_set_back ON seals (earliest_at) WHERE earliest_at IS NOT NULL;

CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
CREATE INDEX outbox_dead ON outbox (done_at) WHERE outcome = 'dead';
