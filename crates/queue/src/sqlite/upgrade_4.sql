-- From version 4 to 5: cursors, labels of groups, and jobs that expire. See `schema.sql`.
CREATE TABLE cursor (name TEXT PRIMARY KEY, at TEXT NOT NULL, moved_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE note (seq INTEGER PRIMARY KEY, cursor TEXT NOT NULL, bytes BLOB NOT NULL) STRICT;
CREATE INDEX note_by_cursor ON note (cursor);
CREATE TABLE label (
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    grp BLOB NOT NULL,
    PRIMARY KEY (name, created_at, grp)
) STRICT, WITHOUT ROWID;
CREATE INDEX label_by_group ON label (grp);
ALTER TABLE job ADD COLUMN expires INTEGER;
CREATE INDEX job_expiring ON job (expires) WHERE expires IS NOT NULL AND state <= 1 AND runs = 0;
