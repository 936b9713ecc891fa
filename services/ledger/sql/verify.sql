-- What `verify` reads: each table of a shard ($1) in account order, so that they are merged without being kept. With
-- accounts ($2) only those. A shard is read in one snapshot. Every statement is served by the primary key, or journal_chain.

-- name: accounts
SELECT a.account, '' AS member_id, a.version, a.head, a.now, a.next_due, a.pending, a.available, a.held, a.debt, a.redeemed, a.expired,
       a.written_off, a.in_transit, a.details, a.format
FROM account a
WHERE a.shard = $1 AND ($2::bigint[] IS NULL OR a.account = ANY ($2))
ORDER BY a.account;

-- name: identities
-- identity_account.
SELECT account, member_id FROM identity
WHERE shard = $1 AND ($2::bigint[] IS NULL OR account = ANY ($2))
ORDER BY account, member_id;

-- name: journal
SELECT account, version, digest, at, now, type, outcome, input, record, head, format
FROM journal
WHERE shard = $1 AND ($2::bigint[] IS NULL OR account = ANY ($2))
ORDER BY account, version;

-- name: snapshots
-- Of each account the newest alone is needed; an older one may be left of a crash.
SELECT DISTINCT ON (account) account, version, format, state
FROM snapshot
WHERE shard = $1 AND ($2::bigint[] IS NULL OR account = ANY ($2))
ORDER BY account, version DESC;

-- name: milestones
SELECT account, version, booked_at, sums
FROM milestone
WHERE shard = $1 AND ($2::bigint[] IS NULL OR account = ANY ($2))
ORDER BY account, version;

-- name: entries
SELECT account, version, line, booked_at, day, debit, credit, points, lot_day, lot_parent, rule, ref, program
FROM entry
WHERE shard = $1 AND ($2::bigint[] IS NULL OR account = ANY ($2))
ORDER BY account, version, line;

-- name: lots
SELECT account, day, parent, pending, available, held, expired, forgiven, ends
FROM lot
WHERE shard = $1 AND ($2::bigint[] IS NULL OR account = ANY ($2))
ORDER BY account;

-- name: orders
SELECT account, ref, paid_at, due, success_from, success_until, state
FROM orders
WHERE shard = $1 AND ($2::bigint[] IS NULL OR account = ANY ($2))
ORDER BY account;

-- name: order_lines
SELECT account, ref, telling, lines
FROM order_lines
WHERE shard = $1 AND ($2::bigint[] IS NULL OR account = ANY ($2))
ORDER BY account;

-- name: facts
SELECT account, key, value
FROM fact
WHERE shard = $1 AND ($2::bigint[] IS NULL OR account = ANY ($2))
ORDER BY account;

-- name: sample
SELECT shard, account FROM account ORDER BY random() LIMIT $1;

-- name: programs
SELECT number, version, content_hash, document FROM program ORDER BY number;

-- name: beyond_shards
-- Rows that no shard of this deployment reads, by the first column of each primary key.
SELECT name FROM (
    SELECT 'identity' AS name FROM identity WHERE shard < 0 OR shard >= $1
    UNION ALL SELECT 'account' FROM account WHERE shard < 0 OR shard >= $1
    UNION ALL SELECT 'journal' FROM journal WHERE shard < 0 OR shard >= $1
    UNION ALL SELECT 'entry' FROM entry WHERE shard < 0 OR shard >= $1
    UNION ALL SELECT 'lot' FROM lot WHERE shard < 0 OR shard >= $1
    UNION ALL SELECT 'orders' FROM orders WHERE shard < 0 OR shard >= $1
    UNION ALL SELECT 'order_lines' FROM order_lines WHERE shard < 0 OR shard >= $1
    UNION ALL SELECT 'fact' FROM fact WHERE shard < 0 OR shard >= $1
) AS beyond
GROUP BY name;

-- name: partitions
SELECT parent.relname AS parent, child.relname AS child
FROM pg_inherits i
JOIN pg_class parent ON parent.oid = i.inhparent
JOIN pg_class child ON child.oid = i.inhrelid
WHERE parent.relnamespace = current_schema()::regnamespace AND parent.relkind = 'p'
ORDER BY 1, 2;

-- name: detached
-- Months that were made and belong to no table: their rows are read by nobody.
SELECT c.relname AS child
FROM pg_class c
JOIN monthly_table m ON c.relname ~ ('^' || m.name || '_[0-9]{4}_[0-9]{2}$')
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
  AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid);

-- name: changeable
-- Tables that are append-only by grants, and that the runtime role could change all the same.
SELECT c.relname AS name
FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace
  AND c.relname ~ '^(journal|entry)(_[0-9]{4}_[0-9]{2})?$' AND c.relkind IN ('r', 'p')
  AND (has_table_privilege($1, c.oid, 'UPDATE') OR has_table_privilege($1, c.oid, 'DELETE')
       OR has_table_privilege($1, c.oid, 'TRUNCATE'));

-- name: stored_points
SELECT coalesce(sum(pending), 0)::bigint AS pending, coalesce(sum(available), 0)::bigint AS available,
       coalesce(sum(held), 0)::bigint AS held, coalesce(sum(debt), 0)::bigint AS debt,
       coalesce(sum(redeemed), 0)::bigint AS redeemed, coalesce(sum(expired), 0)::bigint AS expired,
       coalesce(sum(written_off), 0)::bigint AS written_off,
       coalesce(sum(in_transit), 0)::bigint AS in_transit
FROM account
WHERE shard = $1;

-- name: facts_by_public_id
-- fact_given. The condition on the key is the index's own.
SELECT key, value FROM fact
WHERE shard = ANY ($1::smallint[]) AND key = ANY ($2::text[])
  AND (key LIKE 'hold:%' OR key LIKE 'redemption:%' OR key LIKE 'transfer:%');

-- name: order_state
-- identity_pkey, orders_pkey.
SELECT o.state FROM identity i JOIN orders o ON o.shard = i.shard AND o.account = i.account AND o.ref = $3
WHERE i.shard = $1 AND i.member_id = $2;

-- name: account_count
SELECT count(*) FROM account;

-- name: outbox_waiting
SELECT count(*) FROM outbox;
