"""SQL in files, secrets in settings, named points of failure."""

from __future__ import annotations

import signal
from unittest.mock import Mock

import asyncpg
import pytest

from services.kit import faults
from services.kit.migrate import MigrationError, migrations_of
from services.kit.postgres import Queries, is_unavailable
from services.kit.settings import Settings


def test_statements_are_found_by_name_and_missing_ones_at_load() -> None:
    queries = Queries.load("services.kit", "sql/offsets.sql", require=("move", "stored"))
    assert queries.stored == queries["stored"]
    assert queries.move.startswith("-- consumer_offset_pkey")
    assert not queries.move.endswith(";")
    with pytest.raises(LookupError, match="has no statement 'nothing'"):
        Queries.load("services.kit", "sql/offsets.sql", require=("nothing",))


def test_migrations_are_the_kits_and_then_the_services() -> None:
    found = [str(migration) for migration in migrations_of("tests.greeter")]
    assert found[0] == "services.kit/0001_offsets_and_outbox"
    assert all(name.startswith("services.kit/") for name in found[:-1])
    assert found[-1] == "tests.greeter/0001_hello"


def test_a_gap_in_the_numbers_is_refused(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    package = tmp_path / "gappy"
    (package / "migrations").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "migrations" / "0002_second.sql").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MigrationError, match="expected 0001_name"):
        migrations_of("gappy")


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2@h/d")
    monkeypatch.setenv("RUNTIME_PASSWORD", "hunter2")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    settings = Settings()
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump()}"
    assert settings.database_url.get_secret_value().endswith("@h/d")


def _violated(constraint: str) -> Exception:
    error = asyncpg.CheckViolationError()
    error.constraint_name = constraint
    return error


@pytest.mark.parametrize(
    ("error", "unavailable"),
    [
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (asyncpg.InterfaceError("connection is closed"), True),
        (asyncpg.InternalClientError("cannot switch to state 11; another operation (2) is in progress"), True),
        (asyncpg.AdminShutdownError(), True),
        (asyncpg.TooManyConnectionsError(), True),
        (asyncpg.ReadOnlySQLTransactionError(), True),
        (asyncpg.CheckViolationError('no partition of relation "journal" found for row'), True),
        (_violated("account_available_check"), False),
        (asyncpg.exceptions._base.DataError("an argument that does not fit"), False),
        (asyncpg.DataError(), False),
        (asyncpg.UniqueViolationError(), False),
        (asyncpg.UndefinedTableError(), False),
        (KeyError("x"), False),
    ],
)
def test_the_databases_condition_and_our_own_mistakes_are_told_apart(error: Exception, unavailable: bool) -> None:
    assert is_unavailable(error) is unavailable


def test_a_fault_kills_at_the_nth_time_its_point_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    kill = Mock()
    monkeypatch.setattr("os.kill", kill)
    fault = faults.armed("before_commit:2")
    fault("before_commit")
    fault("after_commit")
    kill.assert_not_called()
    fault("before_commit")
    kill.assert_called_once()
    assert kill.call_args.args[1] == signal.SIGKILL
