-- From version 1 to 2: cancelling, chains, follow-ups, pausing, keys, events, workers and mail. See `schema.sql`.
ALTER TABLE queue ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN used INTEGER NOT NULL DEFAULT 1;

ALTER TABLE grp ADD COLUMN cancelling INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grp ADD COLUMN follows INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grp ADD COLUMN fired INTEGER NOT NULL DEFAULT 0;

ALTER TABLE job ADD COLUMN alone INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN cancelling INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN retried INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN after INTEGER;
ALTER TABLE job ADD COLUMN delay INTEGER;
ALTER TABLE job ADD COLUMN retry_of BLOB;

CREATE INDEX grp_finished ON grp (finished_at) WHERE finished_at IS NOT NULL;
CREATE TABLE follow_up (
    grp BLOB PRIMARY KEY,
    next BLOB NOT NULL,
    job BLOB NOT NULL,
    kind TEXT NOT NULL,
    queue TEXT NOT NULL,
    class INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    delay INTEGER,
    max_attempts INTEGER NOT NULL,
    retry_of BLOB,
    payload BLOB NOT NULL
) STRICT;
CREATE TABLE walk (grp BLOB PRIMARY KEY, next INTEGER NOT NULL) STRICT;
CREATE INDEX job_held ON job (after) WHERE state = 1 AND due IS NULL;
CREATE INDEX job_dead ON job (finished_at) WHERE state = 4 AND retried = 0;
CREATE TABLE key (
    name TEXT PRIMARY KEY,
    grp BLOB NOT NULL,
    fingerprint BLOB,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX key_expiry ON key (expires);
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    upto INTEGER NOT NULL,
    packed BLOB NOT NULL
) STRICT;
CREATE TABLE worker (session TEXT PRIMARY KEY, seen_at INTEGER NOT NULL, report BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE mailbox (name TEXT PRIMARY KEY, expires INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE letter (seq INTEGER PRIMARY KEY, mailbox TEXT NOT NULL, bytes BLOB NOT NULL) STRICT;
CREATE INDEX letter_by_mailbox ON letter (mailbox);
