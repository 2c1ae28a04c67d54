-- Times are microseconds since 1970, UTC. Bodies are JSON; the columns beside a body are what queries select by.

-- +goose Up
CREATE TABLE events (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice, also after a prune
    at       INTEGER NOT NULL,
    type     TEXT    NOT NULL,
    cluster  TEXT    NOT NULL,
    incident TEXT    NOT NULL,
    proposal TEXT    NOT NULL,
    note     TEXT    NOT NULL,
    data     BLOB
);
CREATE INDEX events_at ON events (at);

CREATE TABLE incidents (
    id        TEXT    PRIMARY KEY,
    cluster   TEXT    NOT NULL,
    open      INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    ended_at  INTEGER NOT NULL, -- when it was closed or merged; 0 while open
    body      BLOB    NOT NULL
);
CREATE INDEX incidents_opened ON incidents (opened_at);
CREATE INDEX incidents_open ON incidents (opened_at) WHERE open;

CREATE TABLE counters (
    name  TEXT    PRIMARY KEY,
    value INTEGER NOT NULL
);
