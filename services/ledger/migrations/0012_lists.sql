-- A member's lists, a page at a time, the newest first. Orders by the time they were paid; those that wait for their
-- `paid` event are apart. Both indexes are partial, so that no plan takes one of them for a look-up by ref.
CREATE INDEX orders_paid ON orders (shard, account, paid_at, ref) WHERE paid_at IS NOT NULL;
CREATE INDEX orders_parked ON orders (shard, account, ref) WHERE paid_at IS NULL;

-- Holds, redemptions and transfers by the journal rows that made them: of the rows of a month these are few, and only
-- they are in the index. A transfer is in the list of who sends it and of who receives it.
CREATE INDEX journal_listed ON journal (
    shard,
    account,
    (CASE type WHEN 'redeem_reward' THEN 'redeem' WHEN 'receive' THEN 'send' ELSE type END),
    version
)
WHERE outcome = 'booked' AND type IN ('hold', 'redeem', 'redeem_reward', 'send', 'receive');
