-- From version 3 to 4: the store that the jobs belong to, and the clock. See `schema.sql`.
CREATE TABLE store (id BLOB NOT NULL) STRICT;
ALTER TABLE line ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;
