-- What people have done to the service, apart from commands about members, which the journal has. Append-only: the
-- runtime role may read it and add to it, and no more.
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL CHECK (actor <> ''),
    action text NOT NULL,
    object text NOT NULL,
    reason text NOT NULL
);
