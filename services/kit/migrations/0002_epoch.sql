-- The epochs of this schema's history (C3). A restore from a backup takes the schema back to where it was, while others
-- have read what was written after that. So each restore begins an epoch, which `restored` writes here; without a row
-- it is epoch 0.
CREATE TABLE epoch (
    number integer PRIMARY KEY CHECK (number > 0),
    began_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
