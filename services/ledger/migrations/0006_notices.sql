-- Lots by their last day, for the notices before it. Not only those with points left: a condition on `available` would
-- make every change of it an index change, and the hot updates of `lot` would not be heap-only any more.
CREATE INDEX lot_day ON lot (shard, day, account);

-- How far the notices of a shard are: those so many `days` before a lot's last day are told of all lots that end before
-- `day`, and of those that end on it up to `account`. It only saves work: a notice's id is what makes it once.
CREATE TABLE notice (
    shard smallint NOT NULL,
    days smallint NOT NULL,
    day date NOT NULL,
    account bigint NOT NULL,
    PRIMARY KEY (shard, days)
);
GRANT UPDATE ON notice TO :runtime;
