-- The local days that are over on a shard: booked to their end, and told of in the same transaction.
CREATE TABLE closed_day (
    shard smallint NOT NULL,
    day date NOT NULL,
    closed_at timestamptz NOT NULL,
    PRIMARY KEY (shard, day)
);
