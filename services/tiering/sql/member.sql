-- Statements on members. All name the shard and are served by the primary key (shard, member_id[, …]).

-- name: add
-- Rows for new members; another session may be adding the same ones. A known member costs one look at the key.
INSERT INTO member (shard, member_id)
SELECT $1, member_id FROM unnest($2::text[]) AS new (member_id) ORDER BY member_id
ON CONFLICT DO NOTHING;

-- name: lock
-- Takes the only lock of each member, in the order of ids. It reads nothing that the lock protects: after waiting
-- for a lock, a statement still sees the rows as they were before the wait.
SELECT member_id FROM member WHERE shard = $1 AND member_id = ANY ($2::text[]) ORDER BY member_id FOR UPDATE;

-- name: states
-- A statement of its own after `lock`, so that it sees what the lock's former holder wrote.
SELECT member_id, state, (SELECT max(number) FROM epoch) AS epoch
FROM member WHERE shard = $1 AND member_id = ANY ($2::text[]);

-- name: save
INSERT INTO member (shard, member_id, version, tier, since, growth, orders, state)
SELECT $1, new.*
FROM unnest($2::text[], $3::bigint[], $4::text[], $5::timestamptz[], $6::bigint[], $7::integer[], $8::bytea[])
    AS new (member_id, version, tier, since, growth, orders, state)
ON CONFLICT (shard, member_id) DO UPDATE
SET version = excluded.version, tier = excluded.tier, since = excluded.since, growth = excluded.growth,
    orders = excluded.orders, state = excluded.state;

-- name: settled_orders
-- The settled order of each (member, order) named.
SELECT settled_order.member_id, settled_order.order_key, settled_order.told
FROM unnest($2::text[], $3::text[]) AS named (member_id, order_key)
CROSS JOIN LATERAL (
    SELECT * FROM settled_order
    WHERE shard = $1 AND member_id = named.member_id AND order_key = named.order_key OFFSET 0
) AS settled_order;

-- name: all_settled_orders
-- All settled orders of a few members: a range of the primary key each.
SELECT member_id, order_key, told FROM settled_order WHERE shard = $1 AND member_id = ANY ($2::text[]);

-- name: settle
INSERT INTO settled_order (shard, member_id, order_key, told)
SELECT $1, new.member_id, new.order_key, new.told
FROM unnest($2::text[], $3::text[], $4::bytea[]) AS new (member_id, order_key, told)
ON CONFLICT (shard, member_id, order_key) DO UPDATE SET told = excluded.told;

-- name: standing
-- The state of one member, for the API.
SELECT state FROM member WHERE shard = $1 AND member_id = $2;

-- name: members_after
-- Members of a shard in the order of ids, for `verify`.
SELECT member_id, version, tier, since, growth, orders, state
FROM member WHERE shard = $1 AND member_id > $2 ORDER BY member_id LIMIT $3;

-- name: decisions
-- The journal of some members, for `verify`.
SELECT member_id, version, tier, effective_at FROM decision
WHERE shard = $1 AND member_id = ANY ($2::text[]) ORDER BY member_id, version;
