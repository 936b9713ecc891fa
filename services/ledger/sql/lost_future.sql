-- name: sent
-- identity_pkey, journal_chain. Which of these messages the ledger has sent: its sender's journal has the row, with the
-- same head. The sender may be on any shard.
SELECT s.n
FROM unnest($1::smallint[], $2::text[], $3::bigint[], $4::bytea[]) WITH ORDINALITY
    AS s (shard, member_id, version, head, n)
CROSS JOIN LATERAL (
    SELECT account FROM identity WHERE shard = s.shard AND member_id = s.member_id OFFSET 0
) AS i
CROSS JOIN LATERAL (
    SELECT head FROM journal WHERE shard = s.shard AND account = i.account AND version = s.version OFFSET 0
) AS j
WHERE j.head = s.head;
