-- Snapshots of accounts that an older release has written (K4): which are next, what is stored of them, and what is kept.
-- Each statement is about one shard ($1).

-- name: next_accounts
-- account_before_format_2, identity_account. Accounts after $2 that have no snapshot in this format ($3) yet.
SELECT a.account, i.member_id
FROM account a
JOIN LATERAL (
    SELECT member_id FROM identity WHERE shard = a.shard AND account = a.account LIMIT 1
) AS i ON true
WHERE a.shard = $1 AND a.account > $2 AND a.format < 2 AND a.format < $3
ORDER BY a.account
LIMIT $4;

-- name: accounts
-- account_pkey.
SELECT a.account, '' AS member_id, a.version, a.head, a.now, a.next_due, a.pending, a.available, a.held, a.debt,
       a.redeemed, a.expired, a.written_off, a.in_transit, a.details
FROM unnest($2::bigint[]) AS asked (account)
CROSS JOIN LATERAL (SELECT * FROM account WHERE shard = $1 AND account = asked.account OFFSET 0) AS a;

-- name: lots
-- lot_pkey, its (shard, account) prefix.
SELECT l.account, l.day, l.parent, l.pending, l.available, l.held, l.expired, l.forgiven, l.ends
FROM unnest($2::bigint[]) AS asked (account)
CROSS JOIN LATERAL (SELECT * FROM lot WHERE shard = $1 AND account = asked.account OFFSET 0) AS l;

-- name: orders
-- orders_pkey, its (shard, account) prefix.
SELECT o.account, o.ref, o.paid_at, o.due, o.success_from, o.success_until, o.state
FROM unnest($2::bigint[]) AS asked (account)
CROSS JOIN LATERAL (SELECT * FROM orders WHERE shard = $1 AND account = asked.account OFFSET 0) AS o;

-- name: order_lines
-- order_lines_pkey, its (shard, account) prefix.
SELECT l.account, l.ref, l.telling, l.lines
FROM unnest($2::bigint[]) AS asked (account)
CROSS JOIN LATERAL (SELECT * FROM order_lines WHERE shard = $1 AND account = asked.account OFFSET 0) AS l;

-- name: facts
-- fact_pkey, its (shard, account) prefix.
SELECT f.account, f.key, f.value
FROM unnest($2::bigint[]) AS asked (account)
CROSS JOIN LATERAL (SELECT * FROM fact WHERE shard = $1 AND account = asked.account OFFSET 0) AS f;

-- name: keep
-- snapshot_pkey. One that was kept before a crash at the same version is the same.
INSERT INTO snapshot (shard, account, version, format, state)
SELECT $1, kept.account, kept.version, $2, kept.state
FROM unnest($3::bigint[], $4::bigint[], $5::bytea[]) AS kept (account, version, state)
ON CONFLICT (shard, account, version) DO UPDATE SET format = excluded.format, state = excluded.state;

-- name: finish
-- account_pkey, snapshot_pkey, journal_chain. Accounts ($3) whose journal has a row right after their snapshot in this
-- format ($2), which is the row that names it. Snapshots that no row names, or that an older release kept, go.
WITH named AS (
    SELECT s.account, max(s.version) AS version
    FROM unnest($3::bigint[]) AS asked (account)
    CROSS JOIN LATERAL (SELECT * FROM snapshot WHERE shard = $1 AND account = asked.account OFFSET 0) AS s
    CROSS JOIN LATERAL (
        SELECT FROM journal
        WHERE shard = $1 AND account = s.account AND version = s.version + 1 AND type = 'snapshot_taken' LIMIT 1
    ) AS j
    WHERE s.format = $2
    GROUP BY s.account
), forgotten AS (
    DELETE FROM snapshot AS s USING named
    WHERE s.shard = $1 AND s.account = named.account AND s.version <> named.version
)
UPDATE account AS a SET format = $2 FROM named WHERE a.shard = $1 AND a.account = named.account;
