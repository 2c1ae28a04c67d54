-- +goose Up
-- Entries to the page: links that work once, and the sessions that they open. Only hashes of their tokens.
CREATE TABLE links (
    token   BLOB    PRIMARY KEY,
    person  TEXT    NOT NULL,
    role    TEXT    NOT NULL, -- that a token of the person's own gave
    path    TEXT    NOT NULL,
    expires INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    token   BLOB    PRIMARY KEY,
    person  TEXT    NOT NULL,
    role    TEXT    NOT NULL,
    begun   INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
