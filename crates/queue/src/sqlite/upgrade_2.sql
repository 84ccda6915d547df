-- From version 2 to 3: lists of groups. See `schema.sql`.
CREATE INDEX grp_created ON grp (created_at, id);
