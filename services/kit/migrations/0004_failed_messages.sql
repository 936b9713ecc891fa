-- Messages between our own accounts that could not be booked. The topic and the dead letters are kept for some time only;
-- what such a message carries is kept until it is driven again, because nobody else can send it again.
CREATE TABLE failed_message (
    topic text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    appended_at bigint NOT NULL, -- microseconds since 1970: sessions of services read instants in different ways
    reason text NOT NULL,
    key bytea,
    value bytea,
    headers bytea,
    PRIMARY KEY (topic, partition, record_offset)
);
GRANT DELETE ON failed_message TO :runtime;
