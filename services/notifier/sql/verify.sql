-- What `verify` reads of a shard ($1), each by the beginning of a primary key. Full scans of it, for `verify` alone.

-- name: repeated
-- Business keys that were decided more than once (S1); there must be none.
SELECT member_id, touchpoint, occasion, channel, count(*) AS times
FROM message
WHERE shard = $1
GROUP BY member_id, touchpoint, occasion, channel
HAVING count(*) > 1

-- name: unaccounted
-- Requests without a decision to send, and decisions to send over a gateway without a request (S5); there must be
-- none.
SELECT coalesce(message.key, attempt.key) AS key, message.channel, message.reason, attempt.attempt
FROM (SELECT * FROM message WHERE shard = $1) AS message
FULL JOIN (SELECT * FROM attempt WHERE shard = $1) AS attempt ON attempt.key = message.key
WHERE (attempt.key IS NOT NULL AND (message.key IS NULL OR message.reason IS NOT NULL OR message.channel = 'inapp'))
    OR (attempt.key IS NULL AND message.reason IS NULL AND message.channel <> 'inapp')

-- name: unerased
-- Personal data that an erasure should have removed; there must be none.
SELECT 'consent' AS kind, member.member_id
FROM member JOIN consent USING (shard, member_id)
WHERE shard = $1 AND consent.at <= member.erased_at
UNION ALL
SELECT 'device', member.member_id
FROM member JOIN device USING (shard, member_id)
WHERE shard = $1 AND device.at <= member.erased_at
UNION ALL
SELECT 'preference_change', member.member_id
FROM member JOIN preference_change USING (shard, member_id)
WHERE shard = $1 AND preference_change.at <= member.erased_at
UNION ALL
SELECT 'profile', member.member_id
FROM member
WHERE shard = $1 AND erased_at IS NOT NULL AND (told_at IS NULL OR told_at <= erased_at)
    AND (profile <> '{}' OR phone IS NOT NULL OR email IS NOT NULL)

-- name: messages
-- Every decision, for the check of its key; a cursor reads them in pieces.
SELECT key, member_id, touchpoint, occasion, channel, reason FROM message WHERE shard = $1

-- name: totals
-- Decisions by touchpoint, channel and outcome.
SELECT touchpoint, channel, coalesce(reason, 'sent') AS outcome, count(*) AS messages
FROM message
WHERE shard = $1
GROUP BY touchpoint, channel, reason

-- name: member_count
SELECT count(*) FROM member WHERE shard = $1

-- name: attempt_count
SELECT count(*) FROM attempt WHERE shard = $1

-- name: beyond_shards
-- Rows that no shard of this deployment ($1 of them) reads.
SELECT name FROM (
    SELECT 'member' AS name FROM member WHERE shard < 0 OR shard >= $1
    UNION ALL SELECT 'message' FROM message WHERE shard < 0 OR shard >= $1
    UNION ALL SELECT 'attempt' FROM attempt WHERE shard < 0 OR shard >= $1
) AS beyond
GROUP BY name
