-- The audit. All by its primary key.

-- name: add
INSERT INTO audit (actor, action, object, reason) VALUES ($1, $2, $3, $4);

-- name: page
-- audit_pkey, backwards. The newest first; times as text, for a service may have given its connections codecs of its own.
SELECT id, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at, actor, action, object, reason
FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2;
