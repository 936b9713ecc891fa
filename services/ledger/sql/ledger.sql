-- The statements of the write path. Each is about one shard ($1), takes arrays, and names the indexes that serve it.
--
-- A plan must not depend on how full a table is, because a connection keeps the plan that it made on an empty ledger. So
-- keys are looked up in a LATERAL subquery. OFFSET 0 keeps it a subquery, which looks up one key at a time, with all
-- columns of the index. A plain join, planned on an empty table, would read the whole shard for each batch.

-- name: newest_program
-- program_pkey, backwards.
SELECT max(number) FROM program;

-- name: programs
SELECT number, document FROM program ORDER BY number;

-- name: open_accounts
-- identity_pkey. Sorted, so that two batches wait for each other in one order only.
WITH added AS (
    INSERT INTO identity (shard, member_id)
    SELECT $1, member_id FROM unnest($2::text[]) AS member_id ORDER BY member_id
    ON CONFLICT DO NOTHING
    RETURNING account
)
INSERT INTO account (shard, account, format) SELECT $1, account, $3 FROM added ORDER BY account;

-- name: lock_accounts
-- identity_pkey, account_pkey; program_pkey and epoch_pkey, backwards. Locks in account order, before anything that the
-- lock protects is read.
SELECT known.member_id, a.account, a.version, a.head, a.now, a.next_due,
       a.pending, a.available, a.held, a.debt, a.redeemed, a.expired, a.written_off, a.in_transit, a.details,
       (SELECT max(number) FROM program) AS newest_program, (SELECT max(number) FROM epoch) AS epoch
FROM (
    SELECT member_id, account FROM identity
    WHERE shard = $1 AND member_id = ANY ($2::text[])
    ORDER BY account OFFSET 0
) AS known
CROSS JOIN LATERAL (
    SELECT * FROM account WHERE shard = $1 AND account = known.account OFFSET 0 FOR UPDATE
) AS a;

-- name: accounts_for_commands
-- identity_pkey, account_pkey, answer_pkey, fact_pkey, lot_pkey; program_pkey and epoch_pkey, backwards. What commands of
-- different members need in any case, as of one moment and without a lock: `write` finds out whether an account has
-- changed since.
SELECT asked.member_id, a.account, a.version, a.head, a.now, a.next_due,
       a.pending, a.available, a.held, a.debt, a.redeemed, a.expired, a.written_off, a.in_transit, a.details,
       (SELECT max(number) FROM program) AS newest_program, (SELECT max(number) FROM epoch) AS epoch,
       r.at, r.request, r.status, r.body, f.value AS fact, l.lots
FROM unnest($2::text[], $3::bytea[], $4::text[]) AS asked (member_id, digest, fact)
CROSS JOIN LATERAL (
    SELECT account FROM identity WHERE shard = $1 AND member_id = asked.member_id OFFSET 0
) AS i
CROSS JOIN LATERAL (
    SELECT * FROM account WHERE shard = $1 AND account = i.account OFFSET 0
) AS a
LEFT JOIN LATERAL (
    SELECT * FROM answer WHERE shard = $1 AND digest = asked.digest OFFSET 0
) AS r ON true
LEFT JOIN LATERAL (
    SELECT value FROM fact WHERE shard = $1 AND account = i.account AND key = asked.fact OFFSET 0
) AS f ON true
CROSS JOIN LATERAL (
    SELECT array_agg(lot) AS lots FROM lot WHERE shard = $1 AND account = i.account AND available > 0
) AS l;

-- name: journalled
-- journal_pkey, in the partitions between the batch's first and last time. Events come in soon after they happen, so these
-- are few.
SELECT digest, at, input
FROM journal
WHERE shard = $1 AND digest = ANY ($2::bytea[]) AND at >= $3 AND at <= $4;

-- name: orders
-- orders_pkey.
SELECT o.account, o.ref, o.state
FROM unnest($2::bigint[], $3::text[]) AS asked (account, ref)
CROSS JOIN LATERAL (
    SELECT * FROM orders WHERE shard = $1 AND account = asked.account AND ref = asked.ref OFFSET 0
) AS o;

-- name: order_lines
-- order_lines_pkey.
SELECT l.account, l.ref, l.telling, l.lines
FROM unnest($2::bigint[], $3::text[], $4::integer[]) AS asked (account, ref, telling)
CROSS JOIN LATERAL (
    SELECT * FROM order_lines
    WHERE shard = $1 AND account = asked.account AND ref = asked.ref AND telling = asked.telling OFFSET 0
) AS l;

-- name: facts
-- fact_pkey.
SELECT f.account, f.key, f.value
FROM unnest($2::bigint[], $3::text[]) AS asked (account, key)
CROSS JOIN LATERAL (
    SELECT * FROM fact WHERE shard = $1 AND account = asked.account AND key = asked.key OFFSET 0
) AS f;

-- name: spendable_lots
-- lot_pkey, its (shard, account) prefix.
SELECT l.account, l.day, l.parent, l.pending, l.available, l.held, l.expired, l.forgiven
FROM unnest($2::bigint[]) AS asked (account)
CROSS JOIN LATERAL (
    SELECT * FROM lot WHERE shard = $1 AND account = asked.account AND available > 0 OFFSET 0
) AS l;

-- name: lot_families
-- lot_pkey, its (shard, account) prefix. A lot, and the grace lots that were made for returns to it after it expired.
SELECT asked.day AS family, l.account, l.day, l.parent, l.pending, l.available, l.held, l.expired, l.forgiven
FROM unnest($2::bigint[], $3::date[]) AS asked (account, day)
CROSS JOIN LATERAL (
    SELECT * FROM lot
    WHERE shard = $1 AND account = asked.account
      AND ((day = asked.day AND parent = '-infinity') OR parent = asked.day) OFFSET 0
) AS l;

-- name: orders_due
-- orders_due.
SELECT o.account, o.ref, o.due
FROM unnest($2::bigint[], $3::timestamptz[]) AS asked (account, until)
CROSS JOIN LATERAL (
    SELECT * FROM orders WHERE shard = $1 AND account = asked.account AND due <= asked.until OFFSET 0
) AS o;

-- name: next_orders_due
-- orders_due.
SELECT asked.account, later.due, later.ref
FROM unnest($2::bigint[], $3::timestamptz[]) AS asked (account, until)
CROSS JOIN LATERAL (
    SELECT o.due, o.ref FROM orders o
    WHERE o.shard = $1 AND o.account = asked.account AND o.due > asked.until
    ORDER BY o.due LIMIT 1
) AS later;

-- name: successes
-- orders_pkey, its (shard, account) prefix.
SELECT o.account, o.ref, o.paid_at, o.success_from, o.success_until
FROM unnest($2::bigint[]) AS asked (account)
CROSS JOIN LATERAL (
    SELECT * FROM orders WHERE shard = $1 AND account = asked.account AND success_from IS NOT NULL OFFSET 0
) AS o;

-- name: orders_paid_after
-- orders_paid.
SELECT o.account, o.ref, o.paid_at
FROM unnest($2::bigint[], $3::timestamptz[]) AS asked (account, paid_after)
CROSS JOIN LATERAL (
    SELECT * FROM orders WHERE shard = $1 AND account = asked.account AND paid_at > asked.paid_after OFFSET 0
) AS o;

-- name: answers
-- answer_pkey. The caller looks at how old an answer is: with a condition on `at`, the planner would take the other index.
SELECT digest, at, request, status, body
FROM answer
WHERE shard = $1 AND digest = ANY ($2::bytea[]);

-- name: bind_key
-- answer_pkey. The request that a key names, and what it was answered at once (status 0: nothing yet): this request ($4),
-- unless the key named one since $5.
INSERT INTO answer AS a (shard, digest, at, request, status, body)
VALUES ($1, $2, $3, $4, 0, '')
ON CONFLICT (shard, digest) DO UPDATE
SET at = CASE WHEN a.at > $5 THEN a.at ELSE excluded.at END,
    request = CASE WHEN a.at > $5 THEN a.request ELSE excluded.request END,
    status = CASE WHEN a.at > $5 THEN a.status ELSE excluded.status END,
    body = CASE WHEN a.at > $5 THEN a.body ELSE excluded.body END
RETURNING request, status, body;

-- name: keep_refusal
-- answer_pkey. What a request was answered that went no further; its key is bound.
UPDATE answer SET status = $3, body = $4 WHERE shard = $1 AND digest = $2;

-- name: forget_answers
-- answer_at, answer_pkey. At most $3 answers that were given before $2, the oldest first.
DELETE FROM answer
WHERE shard = $1 AND digest = ANY (ARRAY(
    SELECT digest FROM answer WHERE shard = $1 AND at < $2 ORDER BY at LIMIT $3
));

-- name: write
-- account_pkey, answer_pkey, fact_pkey, lot_pkey, orders_pkey. All that a batch writes: the rows of each table are one
-- array ($2 and $4 to $11), NULL where there are none. Lots are written as differences, so that earning reads none. An
-- answer that stands already is older than answers are kept.
--
-- $3 are the versions at which the accounts of $2 were read. An account that another batch has changed since is not
-- updated, and `refuse_changed` then ends the whole statement, which is its own transaction where no lock was taken
-- before. The accounts come in account order, so that two batches cannot deadlock. Every part reads `unchanged`, so none
-- begins before all accounts are updated and their row locks held: ids of the outbox are taken under the lock, and a
-- member's events have ids in the member's order.
WITH updated AS (
    UPDATE account AS a
    SET version = c.version, head = c.head, now = c.now, next_due = c.next_due, pending = c.pending,
        available = c.available, held = c.held, debt = c.debt, redeemed = c.redeemed, expired = c.expired,
        written_off = c.written_off, in_transit = c.in_transit, details = c.details
    FROM ROWS FROM (unnest($2::account_state[]), unnest($3::bigint[])) AS c (
        account, version, head, now, next_due, pending, available, held, debt, redeemed, expired, written_off,
        in_transit, details, version_read
    )
    WHERE a.shard = $1 AND a.account = c.account AND a.version = c.version_read
    RETURNING 1
),
unchanged AS (
    SELECT FROM updated HAVING CASE WHEN count(*) = cardinality($3) THEN true ELSE refuse_changed() END
),
write_journal AS (
    INSERT INTO journal SELECT * FROM unchanged, unnest($4::journal[])
),
write_entries AS (
    INSERT INTO entry SELECT * FROM unchanged, unnest($5::entry[])
),
write_lots AS (
    INSERT INTO lot AS l (shard, account, day, parent, pending, available, held, expired, forgiven, ends)
    SELECT $1, c.account, c.day, c.parent, c.pending, c.available, c.held, c.expired, c.forgiven, c.ends
    FROM unchanged, unnest($6::lot_difference[]) AS c
    ON CONFLICT (shard, account, day, parent) DO UPDATE
    SET pending = l.pending + excluded.pending, available = l.available + excluded.available,
        held = l.held + excluded.held, expired = l.expired + excluded.expired,
        forgiven = l.forgiven + excluded.forgiven, ends = excluded.ends
),
write_orders AS (
    INSERT INTO orders (shard, account, ref, paid_at, due, success_from, success_until, state)
    SELECT $1, c.account, c.ref, c.paid_at, c.due, c.success_from, c.success_until, c.state
    FROM unchanged, unnest($7::order_change[]) AS c
    ON CONFLICT (shard, account, ref) DO UPDATE
    SET paid_at = excluded.paid_at, due = excluded.due, success_from = excluded.success_from,
        success_until = excluded.success_until, state = excluded.state
),
write_lines AS (
    INSERT INTO order_lines SELECT * FROM unchanged, unnest($8::order_lines[])
),
write_facts AS (
    INSERT INTO fact (shard, account, key, value)
    SELECT $1, c.account, c.key, c.value
    FROM unchanged, unnest($9::fact_change[]) AS c
    ON CONFLICT (shard, account, key) DO UPDATE SET value = excluded.value
),
write_answers AS (
    INSERT INTO answer SELECT * FROM unchanged, unnest($10::answer[])
    ON CONFLICT (shard, digest) DO UPDATE
    SET at = excluded.at, request = excluded.request, status = excluded.status, body = excluded.body
),
write_outbox AS (
    INSERT INTO outbox (shard, topic, key, value, headers)
    SELECT o.shard, o.topic, o.key, o.value, o.headers
    FROM unchanged, unnest($11::outbox[]) WITH ORDINALITY AS o
    ORDER BY o.ordinality
)
SELECT FROM unchanged;

-- name: due_members
-- account_due, identity_account.
SELECT a.account, i.member_id, a.version, a.next_due
FROM account a
JOIN LATERAL (
    SELECT member_id FROM identity WHERE shard = a.shard AND account = a.account LIMIT 1
) AS i ON true
WHERE a.shard = $1 AND a.next_due <= $2
ORDER BY a.next_due
LIMIT $3;
