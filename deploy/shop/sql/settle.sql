-- What is open in the services. Read as an administrator, beside the services' own connections.

-- name: outbox_rows
-- Counts all rows: an outbox at rest is empty.
SELECT 'ledger' AS service, count(*) AS rows FROM ledger.outbox
UNION ALL SELECT 'tiering', count(*) FROM tiering.outbox
UNION ALL SELECT 'notifier', count(*) FROM notifier.outbox;

-- name: next_offsets
-- A shard is a partition of each topic. Whole tables: a few hundred rows.
SELECT 'ledger' AS service, topic, shard AS partition, next_offset FROM ledger.consumer_offset
UNION ALL SELECT 'tiering', topic, shard AS partition, next_offset FROM tiering.consumer_offset
UNION ALL SELECT 'notifier', topic, shard AS partition, next_offset FROM notifier.consumer_offset;

-- name: due_accounts
-- Index account_due (shard, next_due), read whole: what has no due time is not in it.
SELECT count(*) FROM ledger.account
WHERE next_due <= now();
