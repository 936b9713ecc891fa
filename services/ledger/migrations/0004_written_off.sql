-- Clawed back, but not there any more, and let go where the program clamps (R6): the member's part of the books' account,
-- so at most 0.
ALTER TABLE account ADD COLUMN written_off bigint NOT NULL DEFAULT 0 CHECK (written_off <= 0);

CREATE TYPE account_totals AS (
    account bigint, version bigint, head bytea, now timestamptz, next_due timestamptz,
    pending bigint, available bigint, held bigint, debt bigint, redeemed bigint, expired bigint, written_off bigint,
    details bytea
);
