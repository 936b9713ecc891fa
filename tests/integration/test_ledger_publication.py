"""Publishing a program on a real PostgreSQL: once, whole, with its announcement, and never by two at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from schemas.events import read_event
from schemas.program import content_hash
from services.kit.calendar import MICROS_PER_SECOND, Micros, later, parse_rfc3339, rfc3339
from services.kit.clock import now
from services.kit.migrate import migrate
from services.kit.postgres import Connection
from services.ledger.codecs import register_codecs
from services.ledger.publication import NotPublished, known_versions, publish, publish_document
from tests.conftest import MakeDatabase, as_role
from tests.integration.ledger_support import DOCUMENT, PROGRAM, ledger_settings

NOW: Micros = parse_rfc3339("2026-05-01T12:00:00Z")


@pytest.fixture
async def dsn(make_database: MakeDatabase) -> str:
    """A migrated ledger without a program."""
    made = make_database()
    await migrate(ledger_settings(made), "services.ledger")
    return made


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[Connection]:
    made = await asyncpg.connect(as_role(dsn, "ledger"), server_settings={"search_path": "ledger"})
    await register_codecs(made)
    yield made
    await made.close()


def document(**changes: Any) -> dict[str, Any]:
    return {**DOCUMENT, **changes}


async def outbox_rows(connection: Connection) -> list[dict[str, Any]]:
    rows = await connection.fetch("SELECT topic, key, value FROM outbox ORDER BY shard, id")
    return [{"topic": row["topic"], "key": row["key"], "event": orjson.loads(row["value"])} for row in rows]


async def test_the_first_version_is_kept_and_announced(connection: Connection) -> None:
    published = await publish_document(connection, document(), lambda: NOW)
    assert (published.number, published.version, published.is_repeated) == (1, "2026.1", False)
    kept = await connection.fetchrow("SELECT * FROM program")
    assert kept is not None
    assert orjson.loads(kept["document"]) == DOCUMENT
    assert kept["content_hash"] == content_hash(DOCUMENT)
    (row,) = await outbox_rows(connection)
    assert (row["topic"], row["key"]) == ("loyalty.program.v1", b"2026.1")
    event = read_event(orjson.dumps(row["event"]), [("content-type", b"application/cloudevents+json")], row["key"])
    assert event["subject"] == DOCUMENT["program"]
    assert row["event"]["data"]["document"] == DOCUMENT
    assert row["event"]["data"]["effective_from"] == "2025-12-31T16:00:00Z"


async def test_the_same_again_changes_nothing_and_other_content_is_refused(connection: Connection) -> None:
    await publish_document(connection, document(), lambda: NOW)
    again = await publish_document(connection, document(), lambda: later(NOW, 1))
    assert (again.number, again.is_repeated) == (1, True)
    assert len(await outbox_rows(connection)) == 1
    with pytest.raises(NotPublished, match="other content"):
        await publish_document(connection, document(currency="HKD"), lambda: NOW)
    assert len(await known_versions(connection)) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"effective_from": "2026-05-01T12:09:59+00:00"}, "less than 10 minutes"),
        ({"effective_from": "2025-01-01T00:00:00+00:00"}, "less than 10 minutes"),
        ({"effective_from": "2026-06-01T00:00:00+00:00", "program": "another-shop"}, "runs the program"),
        ({"effective_from": "2026-06-01T00:00:00+00:00", "currency": "HKD"}, "counts in CNY"),
    ],
)
async def test_a_later_version_must_fit_what_is_in_force(
    connection: Connection, changes: dict[str, str], words: str
) -> None:
    await publish_document(connection, document(), lambda: NOW)
    with pytest.raises(NotPublished, match=words):
        await publish_document(connection, document(version="2026.2", **changes), lambda: NOW)
    assert len(await known_versions(connection)) == 1
    assert len(await outbox_rows(connection)) == 1


async def test_no_version_can_come_before_the_first(connection: Connection) -> None:
    await publish_document(connection, document(effective_from="2027-01-01T00:00:00+00:00"), lambda: NOW)
    with pytest.raises(NotPublished, match="covers all earlier times"):
        await publish_document(
            connection, document(version="2026.2", effective_from="2026-12-01T00:00:00+00:00"), lambda: NOW
        )


async def test_versions_are_numbered_in_the_order_of_their_publication(connection: Connection) -> None:
    await publish_document(connection, document(), lambda: NOW)
    for version, effective_from in (("2026.2", "2026-07-01T00:00:00+00:00"), ("2026.3", "2026-06-01T00:00:00+00:00")):
        await publish_document(connection, document(version=version, effective_from=effective_from), lambda: NOW)
    assert [(known.number, known.version) for known in await known_versions(connection)] == [
        (1, "2026.1"),
        (2, "2026.2"),
        (3, "2026.3"),
    ]


async def test_two_who_publish_at_once_publish_once(dsn: str) -> None:
    async with asyncpg.create_pool(
        as_role(dsn, "ledger"), min_size=4, max_size=4, init=register_codecs, server_settings={"search_path": "ledger"}
    ) as pool:

        async def one() -> bool:
            async with pool.acquire() as connection:
                return (await publish_document(connection, document())).is_repeated

        assert sorted(await asyncio.gather(*(one() for _ in range(4)))) == [False, True, True, True]
        async with pool.acquire() as connection:
            assert len(await outbox_rows(connection)) == 1


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_command_publishes_a_file_and_says_what_it_did(
    dsn: str, connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ledger_settings(dsn)
    assert await publish(settings, [str(PROGRAM), "--dry-run"]) == 0
    printed = capsys.readouterr()
    assert "can be published" in printed.out
    assert "warning: line" in printed.err, "its target shares add to 101 %"
    assert await known_versions(connection) == []
    assert await publish(settings, [str(PROGRAM)]) == 0
    assert capsys.readouterr().out.startswith("Published example-shop 2026.1 (sha256:")
    assert await publish(settings, [str(PROGRAM)]) == 0
    assert "published already; nothing changed" in capsys.readouterr().out


async def test_mend_d04_who_published_a_program_and_why_is_kept(
    dsn: str, connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ledger_settings(dsn, actor="merchandising")
    assert await publish(settings, [str(PROGRAM), "--dry-run"]) == 0
    for _ in range(2):  # the second changes nothing
        assert await publish(settings, [str(PROGRAM), "--because", "double points in May"]) == 0
    rows = await connection.fetch("SELECT actor, action, object, reason FROM audit")
    assert [tuple(row) for row in rows] == [
        ("merchandising", "program.published", "example-shop 2026.1", "double points in May")
    ]
    assert await publish(settings, [str(PROGRAM), "--because"]) == 2


async def test_a_bad_program_is_refused_with_line_path_and_way_out(
    dsn: str, connection: Connection, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    settings = ledger_settings(dsn)
    assert await publish(settings, [str(PROGRAM)]) == 0
    text = PROGRAM.read_text("utf-8").replace('version: "2026.1"', 'version: "2026.2"')
    bad = tmp_path / "bad.yaml"
    bad.write_text(text.replace("rounding: floor", "rounding: down"), "utf-8")
    capsys.readouterr()
    assert await publish(settings, [str(bad)]) == 1
    printed = capsys.readouterr().err
    assert "points.rounding" in printed
    assert "line " in printed
    assert "one of" in printed
    assert "stays in force" in printed
    soon = tmp_path / "soon.yaml"
    soon.write_text(text, "utf-8")
    assert await publish(settings, [str(soon)]) == 1
    assert "10 minutes" in capsys.readouterr().err
    later = tmp_path / "later.yaml"
    later.write_text(text.replace("2026-01-01T00:00:00+08:00", _in_an_hour()), "utf-8")
    assert await publish(settings, [str(later)]) == 0
    assert [known.version for known in await known_versions(connection)] == ["2026.1", "2026.2"]


def _in_an_hour() -> str:
    return rfc3339((now() // MICROS_PER_SECOND + 3600) * MICROS_PER_SECOND)


async def test_what_cannot_be_read_or_reached_is_said_plainly(
    database: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    settings = ledger_settings(database)
    assert await publish(settings, []) == 2
    assert await publish(settings, [str(tmp_path / "missing.yaml")]) == 2
    assert await publish(settings, [str(PROGRAM)]) == 1
    assert "migrate" in capsys.readouterr().err
    nowhere = ledger_settings(database, database_url="postgresql://ledger@127.0.0.1:1/nowhere")
    assert await publish(nowhere, [str(PROGRAM)]) == 1
    assert "cannot be reached" in capsys.readouterr().err
