-- The stored offsets of the consumer: the truth about what has been booked. All by the primary key (shard, topic).

-- name: move
-- consumer_offset_pkey. The fence: compare-and-set of every offset of a batch; fewer rows than topics means that
-- another owner moved one.
UPDATE consumer_offset AS o
SET next_offset = b.next
FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS b (topic, expected, next)
WHERE o.shard = $1::smallint AND o.topic = b.topic AND o.next_offset = b.expected;

-- name: stored
-- consumer_offset_pkey.
SELECT topic, next_offset FROM consumer_offset
WHERE shard = $1::smallint AND topic = ANY ($2::text[]);

-- name: stored_locked
-- consumer_offset_pkey. Waits for a transaction that is moving them, so the answer is what stands.
SELECT topic, next_offset FROM consumer_offset
WHERE shard = $1::smallint AND topic = ANY ($2::text[])
ORDER BY topic
FOR UPDATE;

-- name: seed
INSERT INTO consumer_offset (shard, topic, next_offset)
SELECT $1::smallint, s.topic, s.next_offset
FROM unnest($2::text[], $3::bigint[]) AS s (topic, next_offset)
ON CONFLICT DO NOTHING;
