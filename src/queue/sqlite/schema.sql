-- A queue's name and its open and running jobs, always equal to what `job` holds.
CREATE TABLE queue (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    waiting INTEGER NOT NULL DEFAULT 0,
    delayed INTEGER NOT NULL DEFAULT 0,
    active INTEGER NOT NULL DEFAULT 0
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
    meta BLOB NOT NULL
) STRICT;

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
    -- Milliseconds since 1970: when a delayed job waits again, when an active one's lease runs out.
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
    kind TEXT NOT NULL
) STRICT;

CREATE INDEX job_by_group ON job (grp, idx);
CREATE INDEX job_waiting ON job (queue, class, priority, place) WHERE state = 0;
CREATE INDEX job_delayed ON job (due) WHERE state = 1;
CREATE INDEX job_leased ON job (due) WHERE state = 2;

CREATE TABLE payload (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE result (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;

-- The last answer of each worker session: `seq` and `runs` of the jobs, as one blob of little-endian pairs.
CREATE TABLE said (
    session TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    at INTEGER NOT NULL,
    answer BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: the next free place at the end of the line, and the next one before its front.
CREATE TABLE line (back INTEGER NOT NULL, front INTEGER NOT NULL) STRICT;
INSERT INTO line VALUES (0, -1);
