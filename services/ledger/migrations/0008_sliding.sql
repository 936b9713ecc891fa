-- Lots that slide (E3) are named by a number, as days long before any other lot's, and end on the day that the member's
-- last activity keeps them until: `ends`, null for a lot that ends on its own day.
ALTER TABLE lot ADD COLUMN ends date;

CREATE TYPE lot_difference AS (
    account bigint, day date, parent date,
    pending bigint, available bigint, held bigint, expired bigint, forgiven bigint, ends date
);

DROP INDEX lot_day;
CREATE INDEX lot_last_day ON lot (shard, coalesce(ends, day), account);
