-- name: last_closed
-- closed_day_pkey, backwards, once a shard.
SELECT shard, (SELECT max(day) FROM closed_day WHERE closed_day.shard = each.shard) AS day
FROM generate_series(0, $1::integer - 1) AS each (shard);

-- name: through
-- A few rows in all.
SELECT max(through) FROM proceed;

-- name: proceed
INSERT INTO proceed (through) VALUES ($1);
