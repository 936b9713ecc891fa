-- outside a transaction
-- Entries of one kind, the newest first. Without the two moves that orders make of every event: the hot path pays
-- nothing for the index, and those kinds are found in the primary key, a part of it at a time.
CREATE INDEX CONCURRENTLY IF NOT EXISTS entry_kind ON entry (shard, account, debit, credit, version, line)
WHERE NOT (debit = 'issued' AND credit = 'pending') AND NOT (debit = 'pending' AND credit = 'available');
