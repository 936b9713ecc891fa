-- How far the ids of the outbox were at some instants: the age of its rows, which have no time of their own. Written by
-- whoever looks after the outbox, some rows at most; those below all rows that wait are deleted.
CREATE TABLE outbox_mark (
    last_id bigint PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT DELETE ON outbox_mark TO :runtime;
