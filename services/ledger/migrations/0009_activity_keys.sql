-- Facts of activities get a prefix of their own: `favourite:5` becomes `activity:favourite:5`. Until now an activity's name
-- was the prefix itself, so an activity named as another kind of fact (a review, a hold) took that kind's keys.
--
-- A row is an activity's if no other kind of fact has its prefix. Under the prefix of another kind it is an activity's if
-- its value has the form of an activity's or a review's state, an array of seven (first byte 0x97), which no other kind
-- has. Reviews have that form too: of those keys a row is an activity's if the journal of its account booked an activity
-- named `review` with that id, and booked no review with it.
WITH kinds (prefix) AS (
    VALUES ('referral'), ('hold'), ('redemption'), ('transfer'), ('arrival'), ('cap'), ('lots'), ('grant'), ('stock'),
           ('code'), ('has'), ('allotment'), ('waiting')
), named_review (shard, account, key) AS (
    SELECT f.shard, f.account, f.key
    FROM fact f
    -- The key's id as msgpack writes a text: its length, then its bytes. Ids have at most 128 characters.
    CROSS JOIN LATERAL (SELECT convert_to(substr(f.key, 8), 'UTF8') AS bytes) AS id
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN octet_length(id.bytes) < 32 THEN set_byte('\x00', 0, 160 + octet_length(id.bytes))
            WHEN octet_length(id.bytes) < 256 THEN '\xd9'::bytea || set_byte('\x00', 0, octet_length(id.bytes))
            ELSE '\xda'::bytea || set_byte(set_byte('\x0000', 0, octet_length(id.bytes) / 256), 1, octet_length(id.bytes) % 256)
        END || id.bytes AS packed
    ) AS text
    WHERE f.key LIKE 'review:%'
      AND (f.shard, f.account) IN (
          SELECT shard, account FROM journal WHERE type = 'activity' AND position('\xa6726576696577'::bytea IN input) > 0
      )
      AND EXISTS (
          SELECT FROM journal j
          WHERE j.shard = f.shard AND j.account = f.account AND j.type = 'activity' AND j.outcome = 'booked'
            AND position('\xa6726576696577'::bytea || text.packed IN j.input) > 0
      )
      AND NOT EXISTS (
          SELECT FROM journal j
          WHERE j.shard = f.shard AND j.account = f.account AND j.type IN ('review_published', 'review_removed')
            AND j.outcome = 'booked'
            AND substr(j.input, octet_length(j.input) - octet_length(text.packed) + 1) = text.packed
      )
)
UPDATE fact f SET key = 'activity:' || f.key
WHERE f.key LIKE '%_:%'
  AND CASE split_part(f.key, ':', 1)
      WHEN 'review' THEN EXISTS (
          SELECT FROM named_review n WHERE n.shard = f.shard AND n.account = f.account AND n.key = f.key
      )
      ELSE get_byte(f.value, 0) = 151 OR NOT EXISTS (SELECT FROM kinds WHERE prefix = split_part(f.key, ':', 1))
      END;
