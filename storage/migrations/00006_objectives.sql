-- +goose Up
-- Objectives that were set in chat, and how many requests were counted by the hour and by the day.
CREATE TABLE objectives (
    cluster   TEXT NOT NULL,
    kind      TEXT NOT NULL, -- of the entity
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    layer     TEXT NOT NULL,
    route     TEXT NOT NULL,
    promise   TEXT NOT NULL, -- availability or latency
    body      BLOB NOT NULL,
    PRIMARY KEY (cluster, kind, namespace, name, layer, route, promise)
) STRICT;

CREATE TABLE rollups (
    cluster   TEXT    NOT NULL,
    span      INTEGER NOT NULL, -- seconds
    start     INTEGER NOT NULL,
    kind      TEXT    NOT NULL,
    namespace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    layer     TEXT    NOT NULL,
    route     TEXT    NOT NULL,
    body      BLOB    NOT NULL,
    PRIMARY KEY (cluster, span, start, kind, namespace, name, layer, route)
) STRICT, WITHOUT ROWID;
