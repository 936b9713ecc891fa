-- Through which local day somebody has said that days may be closed, after a jump of time that stopped it (C2).
CREATE TABLE proceed (
    at timestamptz PRIMARY KEY DEFAULT clock_timestamp(),
    through date NOT NULL
);
