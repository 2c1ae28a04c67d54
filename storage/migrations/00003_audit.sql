-- +goose Up
CREATE TABLE audit (
    seq     INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    cluster TEXT    NOT NULL,
    target  TEXT    NOT NULL,
    detail  TEXT,
    prev    TEXT    NOT NULL,
    hash    TEXT    NOT NULL
);

-- 'start' is the last entry that retention removed, 'head' the newest one ever appended.
CREATE TABLE audit_marks (
    name TEXT    PRIMARY KEY,
    seq  INTEGER NOT NULL,
    hash TEXT    NOT NULL
);
INSERT INTO audit_marks VALUES ('start', 0, ''), ('head', 0, '');

-- +goose StatementBegin
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
WHEN old.seq > (SELECT seq FROM audit_marks WHERE name = 'start')
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
-- +goose StatementEnd
