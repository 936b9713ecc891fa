-- The ledger. Runs as the schema's owner; the runtime role gets SELECT and INSERT, and UPDATE only where it is granted
-- here: journal and entries are append-only by grants.
--
-- Every key begins with the shard: a batch is one shard's transaction, and the schema can be spread over nodes by it.
-- No foreign keys and no triggers: books balance by the form of an entry, and the account row's lock orders writers.

-- Every published version of the program; `number` is its place in the order of publication.
CREATE TABLE program (
    number integer PRIMARY KEY,
    name text NOT NULL,
    version text NOT NULL UNIQUE,
    content_hash text NOT NULL,
    effective_from timestamptz NOT NULL,
    published_at timestamptz NOT NULL,
    document text NOT NULL
);

-- The one place that knows the outside's member id. Erasure deletes the row, an alias repoints it.
CREATE SEQUENCE account_number;
GRANT USAGE ON SEQUENCE account_number TO :runtime;
CREATE TABLE identity (
    shard smallint NOT NULL,
    member_id text NOT NULL,
    account bigint NOT NULL DEFAULT nextval('account_number'),
    PRIMARY KEY (shard, member_id)
);
CREATE INDEX identity_account ON identity (shard, account);
GRANT UPDATE, DELETE ON identity TO :runtime;

-- One row a member: the only lock, the totals, and the head of the member's chain. `next_due` is a lower bound.
CREATE TABLE account (
    shard smallint NOT NULL,
    account bigint NOT NULL,
    version bigint NOT NULL DEFAULT 0,
    head bytea NOT NULL DEFAULT '\x0000000000000000000000000000000000000000000000000000000000000000',
    now timestamptz NOT NULL DEFAULT 'epoch',
    next_due timestamptz,
    pending bigint NOT NULL DEFAULT 0 CHECK (pending >= 0),
    available bigint NOT NULL DEFAULT 0 CHECK (available >= 0),
    held bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    debt bigint NOT NULL DEFAULT 0 CHECK (debt >= 0),
    redeemed bigint NOT NULL DEFAULT 0,
    expired bigint NOT NULL DEFAULT 0 CHECK (expired >= 0),
    details bytea NOT NULL DEFAULT '',
    PRIMARY KEY (shard, account)
) WITH (fillfactor = 70);
CREATE INDEX account_due ON account (shard, next_due) WHERE next_due IS NOT NULL;
GRANT UPDATE ON account TO :runtime;

-- The chained log: one row an outcome. Unique by the event's name and time, in the partition of that time.
CREATE TABLE journal (
    shard smallint NOT NULL,
    digest bytea NOT NULL,
    at timestamptz NOT NULL,
    account bigint NOT NULL,
    version bigint NOT NULL,
    now timestamptz NOT NULL,
    type text NOT NULL,
    outcome text NOT NULL,
    input bytea NOT NULL,
    record bytea NOT NULL,
    head bytea NOT NULL,
    PRIMARY KEY (shard, digest, at)
) PARTITION BY RANGE (at);
CREATE INDEX journal_chain ON journal (shard, account, version);
INSERT INTO monthly_table VALUES ('journal');

-- Points of one lot moved from one account to another, in the partition of the month of booking.
CREATE TABLE entry (
    shard smallint NOT NULL,
    account bigint NOT NULL,
    version bigint NOT NULL,
    line smallint NOT NULL,
    booked_at timestamptz NOT NULL,
    day date NOT NULL,
    debit text NOT NULL,
    credit text NOT NULL,
    points bigint NOT NULL CHECK (points > 0),
    lot_day date NOT NULL,
    lot_parent date NOT NULL,
    rule text NOT NULL,
    ref text NOT NULL,
    program integer NOT NULL,
    PRIMARY KEY (shard, account, version, line, booked_at)
) PARTITION BY RANGE (booked_at);
INSERT INTO monthly_table VALUES ('entry');

-- Points that expire together: earnings of one last day share a lot. `parent` is -infinity, or for returns that have
-- grace the last day of the lot they came from. Rows are written as differences, which a CHECK would see before they are
-- added up: `verify` is what says that no column is negative.
CREATE TABLE lot (
    shard smallint NOT NULL,
    account bigint NOT NULL,
    day date NOT NULL,
    parent date NOT NULL,
    pending bigint NOT NULL,
    available bigint NOT NULL,
    held bigint NOT NULL,
    expired bigint NOT NULL,
    forgiven bigint NOT NULL,
    PRIMARY KEY (shard, account, day, parent)
) WITH (fillfactor = 70);
GRANT UPDATE ON lot TO :runtime;

-- An order's facts and what is booked for them, beside the columns that queries need; its lines are immutable and
-- apart, one row a telling. `ref` is shop/order_id.
CREATE TABLE orders (
    shard smallint NOT NULL,
    account bigint NOT NULL,
    ref text NOT NULL,
    paid_at timestamptz,
    due timestamptz,
    success_from timestamptz,
    success_until timestamptz,
    state bytea NOT NULL,
    PRIMARY KEY (shard, account, ref)
) WITH (fillfactor = 80);
CREATE INDEX orders_due ON orders (shard, account, due) WHERE due IS NOT NULL;
GRANT UPDATE ON orders TO :runtime;

CREATE TABLE order_lines (
    shard smallint NOT NULL,
    account bigint NOT NULL,
    ref text NOT NULL,
    telling integer NOT NULL,
    lines bytea NOT NULL,
    PRIMARY KEY (shard, account, ref, telling)
);

-- Facts other than orders under their business keys (review:5, game:77, sign-ins, profile) and the pools of caps
-- (cap:review:2026-03-01); kept for ever, so the same fact under another event id books nothing.
CREATE TABLE fact (
    shard smallint NOT NULL,
    account bigint NOT NULL,
    key text NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (shard, account, key)
) WITH (fillfactor = 80);
GRANT UPDATE ON fact TO :runtime;
