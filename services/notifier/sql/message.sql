-- name: known_keys
-- The business keys, of those given, that have been decided already. Served by message's primary key.
SELECT key FROM message WHERE shard = $1 AND key = ANY($2::bytea[])

-- name: withdraw_requests
-- Takes back requests that have not left yet, where a consent was withdrawn or the member erased. The outbox is short
-- (a row is deleted once the broker has it), so its primary key on the shard is enough.
-- `mark` are bytes that the request has to contain (its class); empty for every request.
DELETE FROM outbox USING unnest($2::bytea[], $3::text[], $4::bytea[]) AS withdrawn (key, topic, mark)
WHERE outbox.shard = $1 AND outbox.key = withdrawn.key AND outbox.topic = withdrawn.topic
    AND position(withdrawn.mark IN outbox.value) > 0

-- name: read_some
-- Served by message's primary key.
UPDATE message SET read_at = $4
WHERE shard = $1 AND member_id = $2 AND key = ANY($3::bytea[])
    AND channel = 'inapp' AND reason IS NULL AND read_at IS NULL

-- name: read_through
-- All messages up to and including one. Served by message_unread, and by message's primary key for the bound.
UPDATE message SET read_at = $4
WHERE shard = $1 AND member_id = $2
    AND message_no <= (SELECT message_no FROM message WHERE shard = $1 AND key = $3 AND member_id = $2)
    AND channel = 'inapp' AND reason IS NULL AND read_at IS NULL

-- name: inbox
-- The newest first. Served by message_of_member.
SELECT key, message_no, touchpoint, parameters::text AS parameters, program_version, at, decided_at, read_at
FROM message
WHERE shard = $1 AND member_id = $2 AND message_no < $3 AND channel = 'inapp' AND reason IS NULL
ORDER BY message_no DESC
LIMIT $4

-- name: unread
-- Served by message_unread alone.
SELECT count(*) FROM message
WHERE shard = $1 AND member_id = $2 AND channel = 'inapp' AND reason IS NULL AND read_at IS NULL

-- name: decisions
-- The newest first, sent or not. Served by message_of_member, and attempt's primary key.
SELECT message.key, message_no, touchpoint, occasion, channel, class, reason, program_version, at, decided_at,
    attempts.attempts
FROM message
LEFT JOIN LATERAL (
    SELECT count(*) AS attempts FROM attempt WHERE attempt.shard = $1 AND attempt.key = message.key
) AS attempts ON true
WHERE shard = $1 AND member_id = $2 AND message_no < $3
ORDER BY message_no DESC
LIMIT $4
