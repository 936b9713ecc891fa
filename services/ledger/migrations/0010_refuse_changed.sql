-- Ends a statement that writes on the strength of accounts it has read, where one of them was changed since: nothing that
-- the statement has done so far stands then.
CREATE FUNCTION refuse_changed() RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    RAISE serialization_failure USING MESSAGE = 'an account was changed since it was read';
END
$$;
