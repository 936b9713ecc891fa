-- Notices before points expire: how far they are, and which members are next. Each statement is about one shard ($1).

-- name: places
-- notice_pkey.
SELECT days, day, account FROM notice WHERE shard = $1;

-- name: lots_of_day
-- lot_last_day, from an account on; identity_account.
SELECT p.account, p.available, i.member_id
FROM (
    SELECT account, sum(available)::bigint AS available
    FROM lot
    WHERE shard = $1 AND coalesce(ends, day) = $2 AND account > $3
    GROUP BY account
    ORDER BY account
    LIMIT $4
) AS p
LEFT JOIN LATERAL (
    SELECT member_id FROM identity WHERE shard = $1 AND account = p.account LIMIT 1
) AS i ON true
ORDER BY p.account;

-- name: move
-- notice_pkey. Never backwards: another sweeper may have got further.
INSERT INTO notice AS n (shard, days, day, account) VALUES ($1, $2, $3, $4)
ON CONFLICT (shard, days) DO UPDATE SET day = excluded.day, account = excluded.account
WHERE (n.day, n.account) < (excluded.day, excluded.account);
