-- Messages between our own accounts that could not be booked. All by the primary key (topic, partition, record_offset).

-- name: keep
INSERT INTO failed_message (topic, partition, record_offset, appended_at, reason, key, value, headers)
SELECT *
FROM unnest(
    $1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::text[], $6::bytea[], $7::bytea[], $8::bytea[]
)
ON CONFLICT DO NOTHING;

-- name: waiting
SELECT topic, partition, record_offset, reason, key, value, headers
FROM failed_message
ORDER BY topic, partition, record_offset;

-- name: oldest
-- How many of a topic's partition wait, and since when the oldest does.
SELECT count(*) AS number, min(appended_at) AS appended_at
FROM failed_message
WHERE topic = $1 AND partition = $2;

-- name: forget
DELETE FROM failed_message WHERE topic = $1 AND partition = $2 AND record_offset = $3;
