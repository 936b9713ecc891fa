-- Publishing a program version. The table has a handful of rows; version and number are unique.

-- name: one_at_a_time
-- The lock is held to the end of the transaction, so that two publishers wait for each other and numbers have no gaps.
SELECT pg_advisory_xact_lock(hashtext('ledger.program'));

-- name: known_versions
SELECT number, name, version, content_hash, effective_from, document FROM program ORDER BY number;

-- name: add_version
INSERT INTO program (number, name, version, content_hash, effective_from, published_at, document)
VALUES ($1, $2, $3, $4, $5, $6, $7);
