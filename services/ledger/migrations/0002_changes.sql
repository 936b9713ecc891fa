-- The rows of an upsert travel as one array of a composite type: the driver then checks one element a row, not one a
-- column. A change of such a type is a new type, so that old and new code can run side by side.

CREATE TYPE account_change AS (
    account bigint, version bigint, head bytea, now timestamptz, next_due timestamptz,
    pending bigint, available bigint, held bigint, debt bigint, redeemed bigint, expired bigint, details bytea
);
CREATE TYPE lot_change AS (
    account bigint, day date, parent date,
    pending bigint, available bigint, held bigint, expired bigint, forgiven bigint
);
CREATE TYPE order_change AS (
    account bigint, ref text, paid_at timestamptz, due timestamptz,
    success_from timestamptz, success_until timestamptz, state bytea
);
CREATE TYPE fact_change AS (account bigint, key text, value bytea);
