-- +goose Up
-- What was told of an incident outside the chats, and to whom.
CREATE TABLE notices (
    incident TEXT    PRIMARY KEY,
    at       INTEGER NOT NULL,
    body     BLOB    NOT NULL
) STRICT;
CREATE INDEX notices_at ON notices (at);

-- When a schedule last ran, so that what was missed while nothing ran is made up for once.
CREATE TABLE runs (
    schedule TEXT    PRIMARY KEY,
    at       INTEGER NOT NULL
) STRICT;
