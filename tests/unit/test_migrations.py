"""What a migration may say, so that no reader or writer of a service that works stands behind it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from services.kit.ddl import statements_of
from tests.conftest import REPOSITORY

BEFORE = {"kit": 1, "ledger": 12, "tiering": 1, "notifier": 2}
"""The last migration of each package that was written before these rules; a landed file never changes."""

OUTSIDE = "-- outside a transaction\n"
CONCURRENTLY = re.compile(r"(CREATE (UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS|DROP INDEX CONCURRENTLY IF EXISTS) ")
FUNCTION = re.compile(r"\$(\w*)\$.*?\$\1\$", re.DOTALL)
CHANGED = re.compile(r"^(?:ALTER TABLE(?: ONLY)?|DROP TABLE(?: IF EXISTS)?|LOCK(?: TABLE)?|TRUNCATE) (\w+)")
WRITTEN = re.compile(r"\b(?:UPDATE|DELETE FROM) (\w+)")
SLOW = {
    r"ALTER COLUMN \w+ (SET DATA )?TYPE": "rewrites the table: add a column beside it",
    r"SET NOT NULL": "reads the whole table: ADD CONSTRAINT … NOT VALID, and VALIDATE in a later file",
    r"ADD (CONSTRAINT \w+ )?(CHECK|FOREIGN KEY)(?!.*NOT VALID)": "reads the whole table: say NOT VALID",
    r"ADD COLUMN .*(CHECK|UNIQUE|PRIMARY KEY|REFERENCES)": "reads the whole table: add the column alone",
    r"ADD COLUMN .*DEFAULT (?!'|-?\d|true|false|null)": "may rewrite the table: let the default be a constant",
    r"ADD (CONSTRAINT \w+ )?(UNIQUE|PRIMARY KEY)(?! USING INDEX)": "builds an index: build it concurrently first",
}
"""What keeps a strong lock for as long as a table is large, and what to do instead."""


class File(NamedTuple):
    """A migration."""

    package: str
    number: int
    path: Path


def files() -> list[File]:
    """The migrations that these rules are for."""
    found = [
        File(path.parts[-3], int(path.name[:4]), path) for path in REPOSITORY.glob("services/*/migrations/[0-9]*.sql")
    ]
    return sorted(file for file in found if file.number > BEFORE.get(file.package, 0))


def faults(sql: str) -> list[str]:
    """What a migration may not say, and what to say instead."""
    statements = [" ".join(statement.split()) for statement in statements_of(FUNCTION.sub("''", sql))]
    if sql.startswith(OUTSIDE):
        return [
            f"{statement[:40]}…: outside a transaction only indexes, CONCURRENTLY and IF (NOT) EXISTS"
            for statement in statements
            if not CONCURRENTLY.match(statement)
        ]
    made = set(re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", " ".join(statements)))
    found: list[str] = []
    changed: set[str] = set()
    for statement in statements:
        name = CHANGED.match(statement)
        if name is not None and name[1] not in made:
            changed.add(name[1])
            found += [f"{statement[:60]}…: {why}" for slow, why in SLOW.items() if re.search(slow, statement)]
        index = re.match(r"CREATE (?:UNIQUE )?INDEX .*?\bON (?:ONLY )?(\w+)", statement)
        if (index is not None and index[1] not in made) or statement.startswith(("DROP INDEX", "REINDEX", "CLUSTER")):
            found.append(f"{statement[:60]}…: in a file of its own that begins with `{OUTSIDE.strip()}`, CONCURRENTLY")
    if len(changed) > 1:
        found.append(f"{', '.join(sorted(changed))}: one table a file; the lock of the first is kept for the second")
    grants = ("GRANT ", "REVOKE ")
    written = {name for each in statements if not each.startswith(grants) for name in WRITTEN.findall(each)} - made
    if changed and written:
        found.append(f"{', '.join(sorted(written))}: rows are changed in another file than tables")
    return found


@pytest.mark.parametrize("file", files(), ids=lambda file: f"{file.package}/{file.path.name}")
def test_mend_c07_a_migration_lets_readers_and_writers_pass(file: File) -> None:
    assert not faults(file.path.read_text("utf-8"))


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE new (n int PRIMARY KEY CHECK (n > 0)); CREATE INDEX new_n ON new (n);",
        "CREATE TABLE new (n int); ALTER TABLE new ADD UNIQUE (n); DROP TABLE old;",
        "ALTER TABLE account ADD COLUMN x bigint NOT NULL DEFAULT 0; ALTER TABLE account ALTER COLUMN x DROP DEFAULT;",
        "ALTER TABLE account ADD CONSTRAINT positive CHECK (x > 0) NOT VALID;",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; DROP INDEX y; $$;",
        "UPDATE fact SET key = 'a';",
        "GRANT UPDATE, DELETE ON answer TO :runtime;",
        f"{OUTSIDE}-- Why.\nCREATE INDEX CONCURRENTLY IF NOT EXISTS a_b ON a (b) WHERE b > 0;",
        f"{OUTSIDE}DROP INDEX CONCURRENTLY IF EXISTS a_b;",
    ],
)
def test_mend_c07_what_may_be_said(sql: str) -> None:
    assert faults(sql) == []


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("CREATE INDEX a_b ON a (b);", "CONCURRENTLY"),
        ("CREATE UNIQUE INDEX a_b ON a (b);", "CONCURRENTLY"),
        ("DROP INDEX a_b;", "CONCURRENTLY"),
        (f"{OUTSIDE}CREATE INDEX CONCURRENTLY a_b ON a (b);", "IF (NOT) EXISTS"),
        (f"{OUTSIDE}ALTER TABLE a ADD COLUMN b int;", "only indexes"),
        ("ALTER TABLE a ALTER COLUMN b TYPE bigint;", "beside it"),
        ("ALTER TABLE a ALTER COLUMN b SET NOT NULL;", "NOT VALID"),
        ("ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0);", "NOT VALID"),
        ("ALTER TABLE a ADD COLUMN b int NOT NULL DEFAULT 0 CHECK (b > 0);", "alone"),
        ("ALTER TABLE a ADD COLUMN b timestamptz DEFAULT now();", "constant"),
        ("ALTER TABLE a ADD PRIMARY KEY (b);", "concurrently"),
        ("ALTER TABLE a ADD COLUMN x int; ALTER TABLE b ADD COLUMN x int;", "one table a file"),
        ("ALTER TABLE a ADD COLUMN x int; UPDATE a SET x = 1;", "another file"),
    ],
)
def test_mend_c07_what_may_not_be_said_and_the_way_out(sql: str, word: str) -> None:
    found = faults(sql)
    assert len(found) == 1
    assert word in found[0]
