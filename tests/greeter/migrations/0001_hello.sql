CREATE TABLE hello (
    shard smallint NOT NULL,
    member text NOT NULL,
    n integer NOT NULL,
    place bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (shard, member, n)
);
GRANT UPDATE ON hello TO :runtime;

CREATE TABLE member (shard smallint NOT NULL, member text NOT NULL, PRIMARY KEY (shard, member));
GRANT UPDATE ON member TO :runtime;

CREATE TABLE moved (at bigint NOT NULL, n integer NOT NULL) PARTITION BY RANGE (at);
INSERT INTO monthly_table VALUES ('moved');
