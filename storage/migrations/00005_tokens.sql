-- +goose Up
-- Tokens of people's own clients: only hashes, as for clusters.
CREATE TABLE tokens (
    name    TEXT PRIMARY KEY,
    role    TEXT NOT NULL,
    token   BLOB NOT NULL UNIQUE,
    created INTEGER NOT NULL
) STRICT;

-- +goose Down
DROP TABLE tokens;
