-- name: read
-- The database's time in microseconds, and the shift of simulated time that is kept with the database (null: none).
-- The catalog is read, not the setting: sessions that were open when it was changed would not know the new one.
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS at, (
    SELECT split_part(kept, '=', 2)::bigint
    FROM pg_db_role_setting, unnest(setconfig) AS kept
    WHERE setrole = 0 AND kept LIKE 'loyalty.clock\_shift=%'
        AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
) AS shift;
