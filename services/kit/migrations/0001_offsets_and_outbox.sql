-- What the kit keeps in every service's schema. Runs as the schema's owner with the schema as search path.

-- How far each shard's topics have been booked; moved by compare-and-set in the transaction of each batch.
CREATE TABLE consumer_offset (
    shard smallint NOT NULL,
    topic text NOT NULL,
    next_offset bigint NOT NULL CHECK (next_offset >= 0),
    PRIMARY KEY (shard, topic)
) WITH (fillfactor = 50);
GRANT UPDATE ON consumer_offset TO :runtime;

-- Facts to send, written with what makes them true. One relay a shard sends them in id order and deletes them.
-- A row is inserted after its member's lock is held, so id order is the member's order.
CREATE TABLE outbox (
    shard smallint NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    topic text NOT NULL,
    key bytea,
    value bytea,
    headers bytea,
    PRIMARY KEY (shard, id)
) WITH (
    -- Every row dies young: vacuum by count, not by share of a table that is mostly empty.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 200000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 1000000,
    autovacuum_vacuum_cost_delay = 0
);
GRANT DELETE ON outbox TO :runtime;

-- Dead letters that were driven again, by the place of the record in its topic.
CREATE TABLE redriven (
    topic text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, record_offset)
);

-- The tables that are partitioned by month; a migration registers its own.
CREATE TABLE monthly_table (name text PRIMARY KEY);
REVOKE INSERT ON monthly_table FROM :runtime;

-- Makes the partition of a registered table for the month of a day (UTC), if it is missing. The runtime role owns no
-- table and may run no DDL; this function runs as the owner and can do this one thing.
--
-- The partition is made apart and then attached: ATTACH waits for no writer and stops none, where CREATE … PARTITION
-- OF would. The key is a bigint (microseconds since 1970), an integer (day number, 0001-01-01 is 1), a date or a
-- timestamptz.
CREATE FUNCTION ensure_month(parent text, day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $body$
DECLARE
    first_day date := date_trunc('month', day)::date;
    next_day date := (date_trunc('month', day) + interval '1 month')::date;
    child text := parent || to_char(first_day, '_YYYY_MM');
    key_type text;
    bound_from text;
    bound_to text;
BEGIN
    IF NOT EXISTS (SELECT FROM monthly_table WHERE name = parent) THEN
        RAISE EXCEPTION '% is not a monthly table', parent USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF to_regclass(quote_ident(child)) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- What ATTACH takes anyway: one at a time, beside all who read and write. Taking it also makes what another has
    -- just attached known here.
    EXECUTE format('LOCK TABLE %I IN SHARE UPDATE EXCLUSIVE MODE', parent);
    IF to_regclass(quote_ident(child)) IS NOT NULL THEN
        RETURN false;
    END IF;

    SELECT format_type(a.atttypid, NULL) INTO STRICT key_type
    FROM pg_partitioned_table p
    JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
    WHERE p.partrelid = to_regclass(quote_ident(parent)) AND p.partstrat = 'r';

    CASE key_type
        WHEN 'bigint' THEN
            bound_from := (extract(epoch FROM first_day) * 1000000)::bigint::text;
            bound_to := (extract(epoch FROM next_day) * 1000000)::bigint::text;
        WHEN 'integer' THEN
            bound_from := (first_day - date '0001-01-01' + 1)::text;
            bound_to := (next_day - date '0001-01-01' + 1)::text;
        WHEN 'date' THEN
            bound_from := quote_literal(first_day);
            bound_to := quote_literal(next_day);
        WHEN 'timestamp with time zone' THEN
            bound_from := quote_literal(first_day::text || ' 00:00:00+00');
            bound_to := quote_literal(next_day::text || ' 00:00:00+00');
        ELSE
            RAISE EXCEPTION '% is partitioned by %, which has no months here', parent, key_type;
    END CASE;

    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', child, parent);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                   parent, child, bound_from, bound_to);
    RETURN true;
END
$body$;
