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

-- name: holders
-- The sessions that hold shards. A session is silent since its last answer, or since it could not take one in; one
-- whose statement runs is not.
SELECT l.objid::integer AS shard, a.pid, a.application_name, coalesce(host(a.client_addr), 'this host') AS host,
       CASE WHEN a.state = 'active' AND a.wait_event IS DISTINCT FROM 'ClientWrite' THEN 0
            ELSE coalesce(extract(epoch FROM clock_timestamp() - a.state_change), 0) END::double precision AS silent
FROM pg_locks AS l
JOIN pg_stat_activity AS a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = $1::integer::oid
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY shard;

-- name: end_sessions
-- Those that have asked nothing since they were found silent.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = ANY ($1::integer[]) AND state_change < clock_timestamp() - make_interval(secs => $2::double precision);

-- name: oldest
-- outbox_pkey, one look a shard.
SELECT min(o.id) FROM generate_series(0, $1::integer - 1) AS s (shard)
CROSS JOIN LATERAL (SELECT id FROM outbox WHERE shard = s.shard::smallint ORDER BY id LIMIT 1) AS o;

-- name: mark
-- How far the ids are now, if they have moved since the last mark.
INSERT INTO outbox_mark (last_id)
SELECT given.last_id FROM pg_sequence_last_value('outbox_id_seq'::regclass) AS given (last_id)
WHERE given.last_id > coalesce((SELECT max(last_id) FROM outbox_mark), 0)
ON CONFLICT DO NOTHING;

-- name: age
-- outbox_mark_pkey. Seconds since a mark first was at or beyond a row: the row is at least so old.
SELECT extract(epoch FROM clock_timestamp() - at)::double precision FROM outbox_mark
WHERE last_id >= $1::bigint ORDER BY last_id LIMIT 1;

-- name: forget_marks
-- outbox_mark_pkey. Marks below every row that waits, but for the last one of all.
DELETE FROM outbox_mark
WHERE last_id < least($1::bigint, (SELECT max(last_id) FROM outbox_mark));
