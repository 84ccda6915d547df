-- A queue's name and its open and running jobs, always equal to what `job` holds.
CREATE TABLE queue (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    waiting INTEGER NOT NULL DEFAULT 0,
    delayed INTEGER NOT NULL DEFAULT 0,
    active INTEGER NOT NULL DEFAULT 0,
    paused INTEGER NOT NULL DEFAULT 0,
    -- Has held a job. One that was only ever paused is forgotten when it is resumed.
    used INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE grp (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    total INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    succeeded INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    sealed INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    meta BLOB NOT NULL,
    cancelling INTEGER NOT NULL DEFAULT 0,
    -- What becomes of its row in `follow_up`: 0 there is none, 1 enqueued on success, 2 enqueued always.
    follows INTEGER NOT NULL DEFAULT 0,
    fired INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX grp_finished ON grp (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX grp_created ON grp (created_at, id);

-- The job and its group that are enqueued when `grp` has finished; kept for the record afterwards.
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

-- Groups that are being cancelled and whose jobs from the index `next` on are still to be looked at.
CREATE TABLE walk (grp BLOB PRIMARY KEY, next INTEGER NOT NULL) STRICT;

-- What changes while a job lives. Payloads and results lie apart, so that a move rewrites a short row.
CREATE TABLE job (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    grp BLOB NOT NULL,
    idx INTEGER NOT NULL,
    queue INTEGER NOT NULL REFERENCES queue (id),
    class INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    -- 0 waiting, 1 delayed, 2 active, 3 succeeded, 4 failed, 5 cancelled
    state INTEGER NOT NULL,
    -- Its place in the line while it waits: lower ones run first.
    place INTEGER NOT NULL,
    -- Milliseconds since 1970: when a delayed job waits again, when an active one's lease runs out, since when one waits
    -- that has not waited since `created_at`. Null in a delayed job that is held until another one has succeeded.
    due INTEGER,
    attempt INTEGER NOT NULL DEFAULT 0,
    -- Every claim counts one, released ones too: no token is ever given out twice.
    runs INTEGER NOT NULL DEFAULT 0,
    stalls INTEGER NOT NULL DEFAULT 0,
    max_attempts INTEGER NOT NULL,
    -- The lease of an active job.
    token TEXT,
    -- The tokens whose settlement counted, each followed by a space.
    committed TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    kind TEXT NOT NULL,
    alone INTEGER NOT NULL DEFAULT 0,
    cancelling INTEGER NOT NULL DEFAULT 0,
    -- Enqueued again as another job, so that it is no longer on the dead-letter list.
    retried INTEGER NOT NULL DEFAULT 0,
    -- The job whose success this one waits for, as its `seq`, and the milliseconds that it is delayed from then on.
    after INTEGER,
    delay INTEGER,
    retry_of BLOB,
    -- When the job is cancelled if nobody has claimed it by then.
    expires INTEGER
) STRICT;

CREATE INDEX job_by_group ON job (grp, idx);
CREATE INDEX job_waiting ON job (queue, class, priority, place) WHERE state = 0;
CREATE INDEX job_delayed ON job (due) WHERE state = 1;
CREATE INDEX job_held ON job (after) WHERE state = 1 AND due IS NULL;
CREATE INDEX job_expiring ON job (expires) WHERE expires IS NOT NULL AND state <= 1 AND runs = 0;
CREATE INDEX job_leased ON job (due) WHERE state = 2;
CREATE INDEX job_dead ON job (finished_at) WHERE state = 4 AND retried = 0;

CREATE TABLE payload (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE result (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;

-- The last answer of each worker session: `seq` and `runs` of the jobs, as one blob of little-endian pairs.
CREATE TABLE said (
    session TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    at INTEGER NOT NULL,
    answer BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: the next free place at the end of the line, and the next one before its front; and the latest instant that
-- something was written at, to the second.
CREATE TABLE line (back INTEGER NOT NULL, front INTEGER NOT NULL, seen INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO line (back, front) VALUES (0, -1);

-- Idempotency keys: reserved while `fingerprint` is null, bound otherwise, until the instant `expires`.
CREATE TABLE key (
    name TEXT PRIMARY KEY,
    grp BLOB NOT NULL,
    fingerprint BLOB,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX key_expiry ON key (expires);

-- Events, those of one commit in a row: a byte for the kind, the group's id and the job's, or zeros, each. `upto` counts
-- the events in this row and all before it.
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    upto INTEGER NOT NULL,
    packed BLOB NOT NULL
) STRICT;

-- One row once somebody has said so: the store that the jobs belong to.
CREATE TABLE store (id BLOB NOT NULL) STRICT;

CREATE TABLE worker (session TEXT PRIMARY KEY, seen_at INTEGER NOT NULL, report BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- Mailboxes that hold letters, which go when the instant `expires` has come.
CREATE TABLE mailbox (name TEXT PRIMARY KEY, expires INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE letter (seq INTEGER PRIMARY KEY, mailbox TEXT NOT NULL, bytes BLOB NOT NULL) STRICT;
CREATE INDEX letter_by_mailbox ON letter (mailbox);

-- Named positions, and the newest notes of each. Notes may be there before their cursor.
CREATE TABLE cursor (name TEXT PRIMARY KEY, at TEXT NOT NULL, moved_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE note (seq INTEGER PRIMARY KEY, cursor TEXT NOT NULL, bytes BLOB NOT NULL) STRICT;
CREATE INDEX note_by_cursor ON note (cursor);

-- The labels of groups; `created_at` is that of the group.
CREATE TABLE label (
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    grp BLOB NOT NULL,
    PRIMARY KEY (name, created_at, grp)
) STRICT, WITHOUT ROWID;
CREATE INDEX label_by_group ON label (grp);
