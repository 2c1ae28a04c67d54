-- +goose Up
-- In which language a person wants answers, and a channel what nobody asked for.
CREATE TABLE languages (
    subject TEXT PRIMARY KEY, -- slack:U123, or channel/slack/C1
    lang    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
