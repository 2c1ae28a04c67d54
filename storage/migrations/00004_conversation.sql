-- +goose Up
CREATE TABLE cursors (
    reader TEXT    PRIMARY KEY,
    seq    INTEGER NOT NULL
);

-- place is the message's position in the queue; a newer body under the same key keeps it.
CREATE TABLE outbox (
    place     INTEGER PRIMARY KEY AUTOINCREMENT,
    key       TEXT    NOT NULL UNIQUE,
    queued    INTEGER NOT NULL, -- when it was first enqueued
    surface   TEXT    NOT NULL,
    channel   TEXT    NOT NULL,
    thread    TEXT    NOT NULL,
    under     TEXT    NOT NULL,
    topic     TEXT    NOT NULL,
    edit      INTEGER NOT NULL,
    title     TEXT    NOT NULL, -- of the thread to prepare beneath it
    body      BLOB    NOT NULL,
    not_until INTEGER NOT NULL,
    attempts  INTEGER NOT NULL,
    failure   TEXT    NOT NULL
);
CREATE INDEX outbox_lane ON outbox (surface, channel, place);

-- Keys of messages that left the outbox, so that none is posted again.
CREATE TABLE sent (
    key     TEXT    PRIMARY KEY,
    at      INTEGER NOT NULL,
    failure TEXT    NOT NULL -- why it was dropped; empty when it was delivered
);
CREATE INDEX sent_at ON sent (at);

CREATE TABLE refs (
    id          INTEGER PRIMARY KEY, -- the oldest topic of a thread is the thread's
    topic       TEXT    NOT NULL,
    surface     TEXT    NOT NULL,
    channel     TEXT    NOT NULL,
    message     TEXT    NOT NULL,
    ref_channel TEXT    NOT NULL, -- where the platform filed the message, which may be elsewhere
    thread      TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    UNIQUE (topic, surface, channel)
);
CREATE INDEX refs_thread ON refs (surface, thread);

CREATE TABLE seen (
    id TEXT    PRIMARY KEY,
    at INTEGER NOT NULL
);
CREATE INDEX seen_at ON seen (at);

CREATE TABLE memories (
    surface TEXT    NOT NULL,
    channel TEXT    NOT NULL,
    thread  TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    body    BLOB    NOT NULL,
    PRIMARY KEY (surface, channel, thread)
);

CREATE TABLE choices (
    id   TEXT    PRIMARY KEY,
    at   INTEGER NOT NULL,
    body BLOB    NOT NULL
);
