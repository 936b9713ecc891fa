-- name: known_keys
-- Which business keys have been decided already. Served by message's primary key.
SELECT key FROM message WHERE shard = $1 AND key = ANY($2::bytea[])

-- name: withdraw_requests
-- Requests that have not left yet, to members who no longer want or may be written to. The outbox is short (rows go
-- once the broker has them), so its primary key on the shard is enough.
-- `mark` is a piece of the request that has to be in it (its class); empty for all.
DELETE FROM outbox USING unnest($2::bytea[], $3::text[], $4::bytea[]) AS unwanted (key, topic, mark)
WHERE outbox.shard = $1 AND outbox.key = unwanted.key AND outbox.topic = unwanted.topic
    AND position(unwanted.mark IN outbox.value) > 0

-- name: read_some
-- Served by message's primary key.
UPDATE message SET read_at = $4
WHERE shard = $1 AND member_id = $2 AND key = ANY($3::bytea[])
    AND channel = 'inapp' AND reason IS NULL AND read_at IS NULL

-- name: read_through
-- Everything up to and including one message. Served by message_unread, and message's primary key for the bound.
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
