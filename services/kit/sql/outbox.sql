-- The outbox. All by the primary key (shard, id).

-- name: append
INSERT INTO outbox (shard, topic, key, value, headers)
SELECT shard, topic, key, value, headers
FROM unnest($1::smallint[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[])
     WITH ORDINALITY AS r (shard, topic, key, value, headers, place)
ORDER BY place;

-- name: waiting
-- outbox_pkey. The next rows of several shards in one round trip, at most $2 a shard, in id order within each.
SELECT o.shard, o.id, o.topic, o.key, o.value, o.headers
FROM unnest($1::smallint[]) AS s (shard)
CROSS JOIN LATERAL (
    SELECT * FROM outbox WHERE shard = s.shard ORDER BY id LIMIT $2
) AS o;

-- name: delete
-- outbox_pkey. By runs of ids that were all read: between two runs there may be rows that were committed since.
DELETE FROM outbox AS o
USING unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS r (shard, first_id, last_id)
WHERE o.shard = r.shard AND o.id BETWEEN r.first_id AND r.last_id;

-- name: lock
-- The shards of $2 that this session now holds and did not before; another relay's are left out.
SELECT s FROM unnest($2::integer[]) AS s WHERE pg_try_advisory_lock($1::integer, s);

-- name: unlock
SELECT pg_advisory_unlock($1::integer, s) FROM unnest($2::integer[]) AS s;
