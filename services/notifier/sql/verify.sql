-- name: repeated
-- Business keys that were decided more than once (S1); there must be none. A full scan, for `verify` alone.
SELECT member_id, touchpoint, occasion, channel, count(*) AS times
FROM message
GROUP BY shard, member_id, touchpoint, occasion, channel
HAVING count(*) > 1

-- name: unaccounted
-- Requests without a decision to send, and decisions to send over a gateway without a request (S5); there must be
-- none.
SELECT coalesce(message.key, attempt.key) AS key, message.channel, message.reason, attempt.attempt
FROM message
FULL JOIN attempt ON attempt.shard = message.shard AND attempt.key = message.key
WHERE (attempt.key IS NOT NULL AND (message.key IS NULL OR message.reason IS NOT NULL OR message.channel = 'inapp'))
    OR (attempt.key IS NULL AND message.reason IS NULL AND message.channel <> 'inapp')

-- name: unerased
-- Personal data that an erasure should have removed; there must be none.
SELECT 'consent' AS kind, member.member_id
FROM member JOIN consent USING (shard, member_id)
WHERE consent.at <= member.erased_at
UNION ALL
SELECT 'device', member.member_id
FROM member JOIN device USING (shard, member_id)
WHERE device.at <= member.erased_at
UNION ALL
SELECT 'preference_change', member.member_id
FROM member JOIN preference_change USING (shard, member_id)
WHERE preference_change.at <= member.erased_at
UNION ALL
SELECT 'profile', member.member_id
FROM member
WHERE erased_at IS NOT NULL AND (told_at IS NULL OR told_at <= erased_at)
    AND (profile <> '{}' OR phone IS NOT NULL OR email IS NOT NULL)

-- name: messages
-- Every decision, for the check of its key; a cursor reads them in pieces.
SELECT shard, key, member_id, touchpoint, occasion, channel, reason FROM message

-- name: totals
-- Decisions by touchpoint, channel and outcome.
SELECT touchpoint, channel, coalesce(reason, 'sent') AS outcome, count(*) AS messages
FROM message
GROUP BY touchpoint, channel, reason
ORDER BY touchpoint, channel, outcome
