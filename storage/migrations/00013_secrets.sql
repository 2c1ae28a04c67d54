-- +goose Up
-- What people gave in chat and nobody may read: sealed with a key that is not in here.
CREATE TABLE secrets (
    name   TEXT PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;
