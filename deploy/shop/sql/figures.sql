-- What became of everything: totals over whole tables, read once at the end of a run. Each statement scans the
-- tables it names; none is for a service.

-- name: moves
-- Points by the accounts they went from and to (ledger.entry, all months).
SELECT debit, credit, sum(points)::bigint AS points FROM ledger.entry GROUP BY debit, credit;

-- name: balances
SELECT
    count(*) AS members,
    coalesce(sum(available), 0)::bigint AS available,
    coalesce(sum(pending), 0)::bigint AS pending,
    coalesce(sum(held), 0)::bigint AS held,
    coalesce(sum(debt), 0)::bigint AS debt
FROM ledger.account;

-- name: orders
SELECT count(*) FROM ledger.orders WHERE paid_at IS NOT NULL;

-- name: parked_refunds
-- An order that was told of and not paid is known by what was sent back of it: each stands for a parked refund.
SELECT count(*) FROM ledger.orders WHERE paid_at IS NULL;

-- name: holds
-- A hold is a fact of its member.
SELECT value FROM ledger.fact WHERE key LIKE 'hold:%';

-- name: inputs
SELECT outcome, count(*) AS inputs FROM ledger.journal GROUP BY outcome ORDER BY outcome;

-- name: journalled
SELECT count(*) FROM ledger.journal;

-- name: tiers
-- In the order of the newest program's ladder, whoever has none first.
WITH ladder AS (
    SELECT step ->> 'tier' AS tier, place
    FROM ledger.program, jsonb_array_elements(document::jsonb -> 'tiers' -> 'ladder') WITH ORDINALITY AS s (step, place)
    WHERE number = (SELECT max(number) FROM ledger.program)
)
SELECT tier, count(*) AS members FROM tiering.member LEFT JOIN ladder USING (tier)
GROUP BY tier, place ORDER BY place NULLS FIRST;

-- name: messages
SELECT touchpoint, channel, coalesce(reason, 'sent') AS decision, count(*) AS messages
FROM notifier.message GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- name: noteworthy_members
-- Who shows most of what there is: the highest growth, the most points owed, and who was written to most.
WITH
grown AS (SELECT member_id FROM tiering.member ORDER BY growth DESC, member_id LIMIT 2),
owing AS (
    SELECT member_id FROM ledger.account JOIN ledger.identity USING (shard, account)
    WHERE debt > 0 ORDER BY debt DESC, member_id LIMIT 1
),
told AS (
    SELECT member_id FROM notifier.message WHERE reason IS NULL
    GROUP BY member_id ORDER BY count(DISTINCT touchpoint) DESC, count(*) DESC, member_id LIMIT 1
)
SELECT DISTINCT member_id
FROM (SELECT * FROM grown UNION ALL SELECT * FROM owing UNION ALL SELECT * FROM told) AS chosen
JOIN ledger.identity USING (member_id) ORDER BY member_id;
