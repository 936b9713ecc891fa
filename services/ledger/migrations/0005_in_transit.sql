-- Points that have left an account and are not yet, or never to be, this account's again: sent to other members less
-- received from them, and what waits for another shard's answer. Over all accounts it is what is on its way.
ALTER TABLE account ADD COLUMN in_transit bigint NOT NULL DEFAULT 0;

CREATE TYPE account_state AS (
    account bigint, version bigint, head bytea, now timestamptz, next_due timestamptz,
    pending bigint, available bigint, held bigint, debt bigint, redeemed bigint, expired bigint, written_off bigint,
    in_transit bigint, details bytea
);

-- Transfers, too, are looked up by their id alone.
DROP INDEX fact_given;
CREATE INDEX fact_given ON fact (shard, key)
WHERE key LIKE 'hold:%' OR key LIKE 'redemption:%' OR key LIKE 'transfer:%';
