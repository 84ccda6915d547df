-- From version 3 to 4: the store that the jobs belong to. See `schema.sql`.
CREATE TABLE store (id BLOB NOT NULL) STRICT;
