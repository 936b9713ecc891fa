-- name: lock_shard
-- The first statement of every transaction that writes. Served by shard_lock's primary key.
INSERT INTO shard_lock (shard) VALUES ($1)
ON CONFLICT (shard) DO UPDATE SET batches = shard_lock.batches + 1

-- name: members_of
-- Served by member's primary key.
SELECT member_id, profile::text AS profile, phone, email, told_at, erased_at, tier, tier_version
FROM member
WHERE shard = $1 AND member_id = ANY($2::text[])

-- name: consents_of
-- Served by consent's primary key.
SELECT member_id, channel, class, granted, at
FROM consent
WHERE shard = $1 AND member_id = ANY($2::text[])

-- name: devices_of
-- Served by device's primary key.
SELECT member_id, device_id, platform, token, at
FROM device
WHERE shard = $1 AND member_id = ANY($2::text[])

-- name: save_members
-- Served by member's primary key.
INSERT INTO member (shard, member_id, profile, phone, email, told_at, erased_at, tier, tier_version)
SELECT $1, * FROM unnest(
    $2::text[], $3::jsonb[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::text[], $9::bigint[]
)
ON CONFLICT (shard, member_id) DO UPDATE SET
    profile = excluded.profile, phone = excluded.phone, email = excluded.email,
    told_at = excluded.told_at, erased_at = excluded.erased_at,
    tier = excluded.tier, tier_version = excluded.tier_version

-- name: save_consents
-- Served by consent's primary key.
INSERT INTO consent (shard, member_id, channel, class, granted, at)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::boolean[], $6::timestamptz[])
ON CONFLICT (shard, member_id, channel, class) DO UPDATE SET granted = excluded.granted, at = excluded.at

-- name: save_devices
-- Served by device's primary key.
INSERT INTO device (shard, member_id, device_id, platform, token, at)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
ON CONFLICT (shard, member_id, device_id) DO UPDATE SET
    platform = excluded.platform, token = excluded.token, at = excluded.at

-- name: forget_consents
-- Served by consent's primary key.
DELETE FROM consent USING unnest($2::text[], $3::timestamptz[]) AS erased (member_id, at)
WHERE consent.shard = $1 AND consent.member_id = erased.member_id AND consent.at <= erased.at

-- name: forget_devices
-- Served by device's primary key.
DELETE FROM device USING unnest($2::text[], $3::timestamptz[]) AS erased (member_id, at)
WHERE device.shard = $1 AND device.member_id = erased.member_id AND device.at <= erased.at

-- name: forget_changes
-- Served by preference_change's primary key.
DELETE FROM preference_change USING unnest($2::text[], $3::timestamptz[]) AS erased (member_id, at)
WHERE preference_change.shard = $1 AND preference_change.member_id = erased.member_id
    AND preference_change.at <= erased.at
