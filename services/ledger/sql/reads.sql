-- The statements of the reading side. None takes a lock; each names the index that serves it.

-- name: balances
-- identity_pkey, account_pkey, lot_pkey; program_pkey, backwards. Reads that arrive together are one statement; `n` is the
-- place of the key. Lots are a member's first, and then those with a last day: by day they would be all of a shard's.
SELECT k.n, a.version, a.head, a.next_due, a.pending, a.available, a.held, a.debt, a.redeemed, a.expired,
       a.written_off, a.in_transit, e.days, e.points, (SELECT max(number) FROM program) AS program
FROM unnest($1::smallint[], $2::text[]) WITH ORDINALITY AS k (shard, member_id, n)
CROSS JOIN LATERAL (
    SELECT account FROM identity WHERE shard = k.shard AND member_id = k.member_id OFFSET 0
) AS i
CROSS JOIN LATERAL (
    SELECT * FROM account WHERE shard = k.shard AND account = i.account OFFSET 0
) AS a
LEFT JOIN LATERAL (
    SELECT array_agg(coalesce(l.ends, l.day)) AS days, array_agg(l.available) AS points
    FROM (SELECT * FROM lot WHERE shard = a.shard AND account = a.account OFFSET 0) AS l
    WHERE l.available > 0 AND l.day < 'infinity'
) AS e ON true;

-- name: account
-- identity_pkey, account_pkey.
SELECT i.member_id, a.account, a.version, a.head, a.now, a.next_due,
       a.pending, a.available, a.held, a.debt, a.redeemed, a.expired, a.written_off, a.in_transit, a.details
FROM (SELECT * FROM identity WHERE shard = $1 AND member_id = $2 OFFSET 0) AS i
CROSS JOIN LATERAL (
    SELECT * FROM account WHERE shard = $1 AND account = i.account OFFSET 0
) AS a;

-- name: lots
-- lot_pkey, its (shard, account) prefix.
SELECT day, parent, pending, available, held, expired, forgiven
FROM lot
WHERE shard = $1 AND account = $2
ORDER BY day, parent;

-- name: milestones_around
-- milestone_pkey, its (shard, account) prefix: some hundred rows of an account with a million entries. The last one up to
-- an instant, and the version of the one behind it.
SELECT m.version, m.booked_at, m.sums, (
    SELECT n.version FROM milestone n
    WHERE n.shard = $1 AND n.account = $2 AND n.booked_at > $3 ORDER BY n.version LIMIT 1
) AS next_version
FROM (SELECT 1) AS one
LEFT JOIN LATERAL (
    SELECT version, booked_at, sums FROM milestone
    WHERE shard = $1 AND account = $2 AND booked_at <= $3 ORDER BY version DESC LIMIT 1
) AS m ON true;

-- name: sums_until
-- entry_pkey, from a version on, in the partitions between two instants.
SELECT debit, credit, lot_day, sum(points)::bigint AS points
FROM entry
WHERE shard = $1 AND account = $2 AND version > $3 AND booked_at >= $4 AND booked_at <= $5
GROUP BY debit, credit, lot_day;

-- name: version_at
-- journal_chain, backwards between two versions.
SELECT version FROM journal
WHERE shard = $1 AND account = $2 AND version > $3 AND version < $4 AND now <= $5
ORDER BY version DESC
LIMIT 1;

-- name: entries
-- entry_pkey, backwards, merged over the partitions of the months asked for; at most $11 rows are looked at.
SELECT version, line, booked_at, day, debit, credit, points, lot_day, lot_parent, rule, ref, program
FROM (
    SELECT * FROM entry
    WHERE shard = $1 AND account = $2
      AND (version, line) < ($3::bigint, $4::smallint) AND version > $5
      AND booked_at >= $6 AND booked_at < $7
    ORDER BY version DESC, line DESC
    LIMIT $11
) AS looked_at
WHERE (debit, credit) IN (SELECT * FROM unnest($8::text[], $9::text[]))
ORDER BY version DESC, line DESC
LIMIT $10;

-- name: end_of_look
-- entry_pkey, backwards: the last row that `entries` looks at; none if it comes to the end of what was asked for.
SELECT version, line FROM entry
WHERE shard = $1 AND account = $2
  AND (version, line) < ($3::bigint, $4::smallint) AND version > $5
  AND booked_at >= $6 AND booked_at < $7
ORDER BY version DESC, line DESC
OFFSET $8 - 1
LIMIT 1;

-- name: entries_of_kind
-- entry_kind, backwards, once for each move of the kind; the conditions on debit and credit are the index's own. The span
-- of time is in the versions: with it as a condition, the primary key would be taken for the better index.
SELECT e.*
FROM unnest($6::text[], $7::text[]) AS move (debit, credit)
CROSS JOIN LATERAL (
    SELECT version, line, booked_at, day, debit, credit, points, lot_day, lot_parent, rule, ref, program
    FROM entry
    WHERE shard = $1 AND account = $2 AND debit = move.debit AND credit = move.credit
      AND NOT (debit = 'issued' AND credit = 'pending') AND NOT (debit = 'pending' AND credit = 'available')
      AND (version, line) < ($3::bigint, $4::smallint) AND version > $5
    ORDER BY version DESC, line DESC
    LIMIT $8
) AS e
ORDER BY version DESC, line DESC
LIMIT $8;

-- name: entries_of_versions
-- entry_pkey.
SELECT version, line, booked_at, day, debit, credit, points, lot_day, lot_parent, rule, ref, program
FROM entry
WHERE shard = $1 AND account = $2 AND version = ANY ($3::bigint[])
ORDER BY version, line;

-- name: journal_row
-- journal_chain.
SELECT account, version, digest, at, now, type, outcome, input, record, head, format
FROM journal
WHERE shard = $1 AND account = $2 AND version = $3;

-- name: journal_of_ref
-- entry_pkey to find the versions that moved points for a fact, journal_chain for their rows; the latest first.
SELECT j.record
FROM journal j
WHERE j.shard = $1 AND j.account = $2 AND j.version IN (
    SELECT e.version FROM entry e
    WHERE e.shard = $1 AND e.account = $2 AND e.ref = $3 AND e.rule = $4 AND e.version <= $5
)
ORDER BY j.version DESC;

-- name: taken_from_lot
-- entry_pkey, its (shard, account) prefix from a version on.
SELECT version, line, booked_at, day, debit, credit, points, lot_day, lot_parent, rule, ref, program
FROM entry
WHERE shard = $1 AND account = $2 AND (version, line) > ($3::bigint, $4::smallint)
  AND lot_day = $5 AND lot_parent = $6
  AND debit IN ('pending', 'available', 'held') AND credit NOT IN ('pending', 'available', 'held')
ORDER BY version, line
LIMIT $7;

-- name: fact_by_public_id
-- fact_given, identity_account. The condition on the key is the index's own.
SELECT i.member_id, f.value
FROM (
    SELECT account, value FROM fact
    WHERE shard = $1 AND key = $2 AND (key LIKE 'hold:%' OR key LIKE 'redemption:%' OR key LIKE 'transfer:%') OFFSET 0
) AS f
CROSS JOIN LATERAL (
    SELECT member_id FROM identity WHERE shard = $1 AND account = f.account LIMIT 1
) AS i;

-- name: facts_of
-- identity_pkey, fact_pkey. Facts of several accounts, each by its key.
SELECT asked.n, f.value
FROM unnest($1::smallint[], $2::text[], $3::text[]) WITH ORDINALITY AS asked (shard, member_id, key, n)
CROSS JOIN LATERAL (
    SELECT account FROM identity WHERE shard = asked.shard AND member_id = asked.member_id OFFSET 0
) AS i
CROSS JOIN LATERAL (
    SELECT value FROM fact WHERE shard = asked.shard AND account = i.account AND key = asked.key OFFSET 0
) AS f;

-- name: journal_of_event
-- journal_pkey, its (shard, digest) prefix: an event id that comes with two times has two rows.
SELECT account, version, digest, at, now, type, outcome, input, record, head, format
FROM journal
WHERE shard = $1 AND digest = $2
ORDER BY at;

-- name: orders_paid_before
-- orders_paid, backwards.
SELECT ref, paid_at, state
FROM orders
WHERE shard = $1 AND account = $2 AND paid_at IS NOT NULL AND (paid_at, ref) < ($3::timestamptz, $4::text)
ORDER BY paid_at DESC, ref DESC
LIMIT $5;

-- name: orders_parked_after
-- orders_parked. Orders of which no `paid` event is known.
SELECT ref, paid_at, state
FROM orders
WHERE shard = $1 AND account = $2 AND paid_at IS NULL AND ref > $3
ORDER BY ref
LIMIT $4;

-- name: listed_before
-- journal_listed, backwards, merged over the partitions. The inputs that made the holds ($3 is 'hold'), the redemptions
-- ('redeem') or the transfers ('send') of an account; the other conditions are the index's own.
SELECT version, input
FROM journal
WHERE shard = $1 AND account = $2
  AND CASE type WHEN 'redeem_reward' THEN 'redeem' WHEN 'receive' THEN 'send' ELSE type END = $3::text
  AND version < $4
  AND outcome = 'booked' AND type IN ('hold', 'redeem', 'redeem_reward', 'send', 'receive')
ORDER BY version DESC
LIMIT $5;
