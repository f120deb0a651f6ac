-- needs: 1
-- Accounts found by name, number and status; invites listed; and personal data in the trail that is still to be erased.

ALTER TABLE users ADD COLUMN name_key TEXT;  -- the folded form; a beginning of it finds the account
UPDATE users SET name_key = lower(name);     -- folds ASCII only; any later write of the name folds the rest
CREATE INDEX users_by_name ON users (name_key, id);
CREATE INDEX users_by_status ON users (status, id);
CREATE INDEX users_by_number ON users (phone_number, id) WHERE phone_number IS NOT NULL;  -- proved or not

CREATE INDEX challenges_by_target ON challenges (target_key);
CREATE INDEX challenges_invites ON challenges (id) WHERE purpose = 'invite' AND used_at IS NULL;

CREATE TABLE erasures (
  user_id       TEXT PRIMARY KEY,          -- a deleted account; its id stays in the trail
  since         INTEGER NOT NULL,
  due_at        INTEGER NOT NULL,
  after_subject INTEGER NOT NULL,          -- rows that tell of it are erased up to this one
  after_actor   INTEGER NOT NULL           -- and rows of what it did
);
CREATE INDEX erasures_due ON erasures (due_at);
