-- Who the members are: the only contact details of the whole system. Every table's key begins with the shard.

-- One row a shard, locked first by every transaction that writes. A shard's writers therefore go one after the
-- other, and no row of a member needs a lock of its own, also where there is no row yet.
CREATE TABLE shard_lock (
    shard   smallint PRIMARY KEY,
    batches bigint  NOT NULL DEFAULT 1
) WITH (fillfactor = 50);
GRANT UPDATE (batches) ON shard_lock TO :runtime;

-- `profile` is what the member told, field by field with the time of each telling; `phone` (E.164) and `email` are
-- the addresses that follow from it, NULL where there is none that can be used. `tier` is what tiering told last,
-- `tier_version` the member_version of that word; no personal data, they outlive an erasure.
CREATE TABLE member (
    shard     smallint NOT NULL,
    member_id text    NOT NULL,
    profile   jsonb   NOT NULL,
    phone     text,
    email     text,
    told_at   timestamptz,
    erased_at timestamptz,
    tier      text    NOT NULL,
    tier_version bigint NOT NULL,
    PRIMARY KEY (shard, member_id)
) WITH (fillfactor = 80);
GRANT UPDATE (profile, phone, email, told_at, erased_at, tier, tier_version) ON member TO :runtime;

-- The newest word on each cell, by business time. No row: nothing was said.
CREATE TABLE consent (
    shard     smallint    NOT NULL,
    member_id text        NOT NULL,
    channel   text        NOT NULL,
    class     text        NOT NULL,
    granted   boolean     NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (shard, member_id, channel, class)
) WITH (fillfactor = 80);
GRANT UPDATE (granted, at), DELETE ON consent TO :runtime;

-- Where push messages reach the member.
CREATE TABLE device (
    shard     smallint    NOT NULL,
    member_id text        NOT NULL,
    device_id text        NOT NULL,
    platform  text        NOT NULL,
    token     text        NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (shard, member_id, device_id)
);
GRANT UPDATE (platform, token, at), DELETE ON device TO :runtime;

-- The journal of consents and preferences: who said what, when, on what evidence. Never changed; an erasure
-- removes what it holds of the person.
CREATE TABLE preference_change (
    shard       smallint    NOT NULL,
    member_id   text        NOT NULL,
    change_no   bigint      GENERATED ALWAYS AS IDENTITY,
    at          timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    actor       text        NOT NULL,
    preference  text        NOT NULL,
    value       text        NOT NULL,
    evidence    text,
    PRIMARY KEY (shard, member_id, change_no)
);
GRANT DELETE ON preference_change TO :runtime;
