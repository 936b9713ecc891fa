-- What is open in the services. Read as an administrator, beside the services' own connections.

-- name: outbox_rows
-- Counts all rows: an outbox at rest is empty.
SELECT 'ledger' AS service, count(*) AS rows FROM ledger.outbox
UNION ALL SELECT 'tiering', count(*) FROM tiering.outbox
UNION ALL SELECT 'notifier', count(*) FROM notifier.outbox;

-- name: next_offsets
-- Primary key (topic, partition) of each; a few hundred rows.
SELECT 'ledger' AS service, topic, partition, next_offset FROM ledger.consumer_offset
UNION ALL SELECT 'tiering', topic, partition, next_offset FROM tiering.consumer_offset
UNION ALL SELECT 'notifier', topic, partition, next_offset FROM notifier.consumer_offset;

-- name: due_accounts
-- Index account_due (shard, next_due), read whole: what has no due time is not in it.
SELECT count(*) FROM ledger.account
WHERE next_due <= now();
