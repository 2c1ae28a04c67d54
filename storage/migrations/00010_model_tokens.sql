-- +goose Up
-- What the model cost, in tokens, by day and by whom: a person, a thread, all.
CREATE TABLE model_tokens (
    day    TEXT    NOT NULL, -- 2026-03-03, UTC
    key    TEXT    NOT NULL,
    tokens INTEGER NOT NULL,
    PRIMARY KEY (day, key)
) STRICT, WITHOUT ROWID;
