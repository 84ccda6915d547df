-- From version 4 to 5: cursors. See `schema.sql`.
CREATE TABLE cursor (name TEXT PRIMARY KEY, at TEXT NOT NULL, moved_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE note (seq INTEGER PRIMARY KEY, cursor TEXT NOT NULL, bytes BLOB NOT NULL) STRICT;
CREATE INDEX note_by_cursor ON note (cursor);
