-- Journal rows say in which format they were written (K4). Rows that are there are of format 1. The column has no default
-- for new ones, so a worker of the release before cannot go on writing rows that would pass for those of this one.
ALTER TABLE journal ADD COLUMN format smallint NOT NULL DEFAULT 1;
ALTER TABLE journal ALTER COLUMN format DROP DEFAULT;

-- The format from which on an account's inputs can be folded again: from its first row on, or from its snapshot on.
ALTER TABLE account ADD COLUMN format smallint NOT NULL DEFAULT 1;
ALTER TABLE account ALTER COLUMN format DROP DEFAULT;
CREATE INDEX account_before_format_2 ON account (shard, account) WHERE format < 2;

-- What was stored of an account at a version, taken once after an upgrade. Its digest is in the journal's next row.
CREATE TABLE snapshot (
    shard smallint NOT NULL,
    account bigint NOT NULL,
    version bigint NOT NULL,
    format smallint NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (shard, account, version)
);
GRANT UPDATE, DELETE ON snapshot TO :runtime;
