-- What `restored` reads. It runs once after a restore, and may take its time.

-- name: newest
-- All accounts: the newest booking that the backup has.
SELECT max(now) FROM account;

-- name: epoch
-- epoch_pkey, backwards.
SELECT max(number) FROM epoch;

-- name: known
-- identity_pkey, fact_pkey. Whether a member has a fact.
SELECT true
FROM (SELECT account FROM identity WHERE shard = $1 AND member_id = $2) AS i
JOIN fact ON fact.shard = $1 AND fact.account = i.account AND fact.key = $3;

-- name: orders_of_member
-- identity_pkey, orders_pkey.
SELECT orders.state
FROM (SELECT account FROM identity WHERE shard = $1 AND member_id = $2) AS i
JOIN orders ON orders.shard = $1 AND orders.account = i.account;
