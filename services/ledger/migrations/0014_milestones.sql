-- The sums of an account's entries up to a version, for accounts with many versions: a sum over entries begins at the
-- last one before it. Entries are never changed, so a row never is; all of them can be made again from the entries.
CREATE TABLE milestone (
    shard smallint NOT NULL,
    account bigint NOT NULL,
    version bigint NOT NULL,
    booked_at timestamptz NOT NULL,
    sums bytea NOT NULL,
    PRIMARY KEY (shard, account, version)
);
