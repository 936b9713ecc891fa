-- What was said, or not said and why. One row a (member, touchpoint, occasion, channel), for ever (S1).
--
-- Not partitioned by month: a unique key over all time cannot be, and the key is what keeps a message from going
-- out twice. A row holds no personal data: texts are rendered from `parameters` when they are sent or read, so an
-- erasure leaves nothing of the person in here.
CREATE TABLE message (
    shard           smallint    NOT NULL,
    key             bytea       NOT NULL,
    member_id       text        NOT NULL,
    message_no      bigint      GENERATED ALWAYS AS IDENTITY,
    touchpoint      text        NOT NULL,
    occasion        text        NOT NULL,
    channel         text        NOT NULL,
    class           text        NOT NULL,
    reason          text,
    parameters      json        NOT NULL,
    program_version text        NOT NULL,
    at              timestamptz NOT NULL,
    decided_at      timestamptz NOT NULL,
    read_at         timestamptz,
    PRIMARY KEY (shard, key)
) WITH (fillfactor = 95);
COMMENT ON COLUMN message.key IS 'digest of member, touchpoint, occasion and channel';
COMMENT ON COLUMN message.reason IS 'why it was not sent; NULL = sent';
COMMENT ON COLUMN message.at IS 'business time of the occasion';
GRANT UPDATE (read_at) ON message TO :runtime;

CREATE INDEX message_of_member ON message (shard, member_id, message_no);
CREATE INDEX message_unread ON message (shard, member_id, message_no)
    WHERE channel = 'inapp' AND reason IS NULL AND read_at IS NULL;

-- Requests to gateways: written before the request can leave, so that none goes out that is not known here (S5).
CREATE TABLE attempt (
    shard           smallint    NOT NULL,
    key             bytea       NOT NULL,
    attempt         integer     NOT NULL,
    locale          text        NOT NULL,
    consent_version bigint      NOT NULL,
    requested_at    timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    PRIMARY KEY (shard, key, attempt)
);
