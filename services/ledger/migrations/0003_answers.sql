-- What a command was answered, under (client, key, path): the same request again gets the same answer (kept 30 days).
-- Written in the transaction of its effect. `request` is a digest of the body: another body under the key is refused.
CREATE TABLE answer (
    shard smallint NOT NULL,
    digest bytea NOT NULL,
    at timestamptz NOT NULL,
    request bytea NOT NULL,
    status smallint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (shard, digest)
);
CREATE INDEX answer_at ON answer (shard, at);
GRANT UPDATE, DELETE ON answer TO :runtime;

-- Holds and redemptions are looked up by their id alone, which is in the fact's key.
CREATE INDEX fact_given ON fact (shard, key) WHERE key LIKE 'hold:%' OR key LIKE 'redemption:%';
