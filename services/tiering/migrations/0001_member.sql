-- What tiering knows of its members. The member's row is the only lock of a member: it is taken first, in the
-- order of member ids, and everything else that is written for the member is written while it is held.

CREATE TABLE member (
    shard      smallint    NOT NULL,
    member_id  text        NOT NULL,
    version    bigint      NOT NULL DEFAULT 0,       -- decisions made: the member_version of the facts told
    tier       text        NOT NULL DEFAULT 'none',
    since      timestamptz,                          -- when that tier took effect
    growth     bigint      NOT NULL DEFAULT 0,       -- minor units
    orders     integer     NOT NULL DEFAULT 0,       -- successful ones
    state      bytea       NOT NULL DEFAULT '',      -- msgpack of domain.member.Member; empty until the first input
    PRIMARY KEY (shard, member_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

COMMENT ON TABLE member IS 'One row a member: the state of the fold, and beside it the figures that queries ask for.';

GRANT UPDATE ON member TO :runtime;

-- Orders that left the state of a member who has many. An order that is in the state as well is outdated here.
CREATE TABLE settled_order (
    shard      smallint NOT NULL,
    member_id  text     NOT NULL,
    order_key  text     NOT NULL,                    -- shop, unit separator, order id
    told       bytea    NOT NULL,                    -- msgpack of domain.member.Order
    PRIMARY KEY (shard, member_id, order_key)
);

COMMENT ON TABLE settled_order IS 'The last that was told of an order whose member has too many to keep in one row.';

GRANT UPDATE ON settled_order TO :runtime;

-- Append-only by grants: the runtime role may insert and read, and owns nothing.
CREATE TABLE decision (
    shard           smallint    NOT NULL,
    member_id       text        NOT NULL,
    version         bigint      NOT NULL,
    facts           text[]      NOT NULL,            -- what was told: enrolled, upgraded, downgraded, kept
    tier            text        NOT NULL,
    effective_at    timestamptz,                     -- when that tier took effect; null for none
    growth          bigint      NOT NULL,            -- minor units, after the input
    orders          integer     NOT NULL,
    program_version text        NOT NULL,
    history         json        NOT NULL,            -- [[tier, effective_at, growth, orders, program version], …]
    cause_type      text        NOT NULL,
    cause_source    text        NOT NULL,
    cause_id        text        NOT NULL,
    cause_time      timestamptz NOT NULL,
    cause_order     text,                            -- order_key
    actor           text,                            -- of a command, from the token
    decided_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shard, member_id, version)
);

COMMENT ON TABLE decision IS 'The journal: one row for each enrolment and each change of a history, with its cause.';
