-- What `timelines` reads: the paid orders of a shard ($1), each with its lines, account by account.

-- name: paid_orders
-- orders_pkey, account_pkey, identity_account; epoch_pkey, backwards.
SELECT o.account, i.member_id, a.now, a.version, o.ref, o.state, (SELECT max(number) FROM epoch) AS epoch
FROM orders o
JOIN account a ON a.shard = o.shard AND a.account = o.account
JOIN identity i ON i.shard = o.shard AND i.account = o.account
WHERE o.shard = $1 AND o.paid_at IS NOT NULL
ORDER BY o.account, o.ref;

-- name: lines_of
-- order_lines_pkey.
SELECT l.account, l.ref, l.lines
FROM unnest($2::bigint[], $3::text[], $4::integer[]) AS asked (account, ref, telling)
JOIN order_lines l ON l.shard = $1 AND l.account = asked.account AND l.ref = asked.ref AND l.telling = asked.telling;
