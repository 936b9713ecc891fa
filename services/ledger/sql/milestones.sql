-- Milestones of accounts with many versions: made hourly, beside the other work.

-- name: next_account
-- account_pkey, from an account on; milestone_pkey, backwards.
SELECT a.account, coalesce(m.version, 0) AS version, m.sums
FROM account AS a
LEFT JOIN LATERAL (
    SELECT version, sums FROM milestone WHERE shard = a.shard AND account = a.account ORDER BY version DESC LIMIT 1
) AS m ON true
WHERE a.shard = $1 AND a.account > $2 AND a.version >= $3 AND a.version >= coalesce(m.version, 0) + $3
ORDER BY a.account
LIMIT 1;

-- name: sums_between
-- entry_pkey.
SELECT debit, credit, lot_day, sum(points)::bigint AS points
FROM entry
WHERE shard = $1 AND account = $2 AND version > $3 AND version <= $4
GROUP BY debit, credit, lot_day;

-- name: booked_at
-- journal_chain.
SELECT now FROM journal WHERE shard = $1 AND account = $2 AND version = $3;

-- name: keep
INSERT INTO milestone (shard, account, version, booked_at, sums) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING;
