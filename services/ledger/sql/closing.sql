-- Closing local days. Each statement is about one shard ($1).

-- name: last_closed
-- closed_day_pkey, backwards.
SELECT max(day) FROM closed_day WHERE shard = $1;

-- name: offsets
-- consumer_offset_pkey.
SELECT topic, next_offset FROM consumer_offset WHERE shard = $1 AND topic = ANY ($2::text[]);

-- name: is_due
-- account_due.
SELECT EXISTS (SELECT FROM account WHERE shard = $1 AND next_due <= $2);

-- name: close
-- closed_day_pkey. Waits for another sweeper that closes the same day; then there is nothing left to do.
INSERT INTO closed_day (shard, day, closed_at) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING
RETURNING day;
