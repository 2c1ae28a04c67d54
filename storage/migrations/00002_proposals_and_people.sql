-- +goose Up
CREATE TABLE proposals (
    id       TEXT    PRIMARY KEY,
    digest   TEXT    NOT NULL,
    state    TEXT    NOT NULL,
    open     INTEGER NOT NULL,
    cluster  TEXT    NOT NULL,
    incident TEXT    NOT NULL,
    created  INTEGER NOT NULL,
    changed  INTEGER NOT NULL, -- its last time of any kind, for retention
    body     BLOB    NOT NULL
);
CREATE UNIQUE INDEX proposals_open_digest ON proposals (digest) WHERE open;
CREATE INDEX proposals_created ON proposals (created);
CREATE INDEX proposals_incident ON proposals (incident, created);
CREATE INDEX proposals_open ON proposals (created) WHERE open;

CREATE TABLE grants (
    subject   TEXT    NOT NULL,
    cluster   TEXT    NOT NULL,
    namespace TEXT    NOT NULL,
    role      TEXT    NOT NULL,
    human     TEXT    NOT NULL,
    granter   TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (subject, cluster, namespace)
);

CREATE TABLE silences (
    id   TEXT    PRIMARY KEY,
    till INTEGER NOT NULL,
    body BLOB    NOT NULL
);

CREATE TABLE clusters (
    name    TEXT    PRIMARY KEY,
    token   BLOB    NOT NULL, -- SHA-256 of the token
    created INTEGER NOT NULL,
    rotated INTEGER NOT NULL
);

CREATE TABLE checkpoints (
    cluster TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    body    BLOB    NOT NULL,
    PRIMARY KEY (cluster, kind)
);
