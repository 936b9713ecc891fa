"""Publishes a version of the program: checks it, stores it with its content hash, and sends it to all services.

The first version covers all earlier times. A later version begins at least ten minutes after its publication, so that
no batch under way has used the rules that it replaces. It also begins after the first version, because what happened
before that was booked by the first version's rules.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec
import orjson

from schemas.program import ProgramRefused, check, content_hash
from services.kit import audit, cloudevent
from services.kit.calendar import MICROS_PER_SECOND, Micros, parse_rfc3339, rfc3339
from services.kit.clock import Clock, now
from services.kit.kafka import Shard
from services.kit.outbox import OutboxRow, append
from services.kit.postgres import Connection, Queries, connect, is_unavailable
from services.kit.program import PROGRAM_TOPIC
from services.kit.settings import Settings
from services.ledger.codecs import register_codecs
from services.ledger.domain.program.program import compile_program
from services.ledger.domain.state.outcome import SOURCE

NOTICE_MINUTES: Final = 10
_NOTICE: Final = NOTICE_MINUTES * 60 * MICROS_PER_SECOND
_SQL: Final = Queries.load(
    "services.ledger", "sql/publication.sql", require=("one_at_a_time", "known_versions", "add_version")
)


class NotPublished(Exception):
    """A valid program cannot be published here and now; the text says why, and what to do about it."""


class PublishedVersion(msgspec.Struct, frozen=True):
    """A version that was published before. `number` counts the versions in the order of publication, from 1."""

    number: int
    name: str
    version: str
    content_hash: str
    effective_from: Micros
    currency: str


class Publication(msgspec.Struct, frozen=True):
    """A version as it is (or would be) published."""

    number: int
    name: str
    version: str
    content_hash: str
    effective_from: Micros
    published_at: Micros
    document: dict[str, Any]
    is_repeated: bool = False
    """It was published before with the same content, so there is nothing to do."""


def plan(document: dict[str, Any], known: Sequence[PublishedVersion], published_at: Micros) -> Publication:
    """What publishing a validated document now would make of it. Raises NotPublished."""
    version, digest = document["version"], content_hash(document)
    effective_from = parse_rfc3339(document["effective_from"])
    same = next((other for other in known if other.version == version), None)
    if same is not None and same.content_hash != digest:
        raise NotPublished(
            f"version {version} was published with other content ({same.content_hash}); "
            "what was booked under it must stay what it was: give this document a new version"
        )
    if same is not None:
        number = same.number
    else:
        if known:
            _check_successor(document, effective_from, known, published_at)
        number = max((other.number for other in known), default=0) + 1
        compile_program(number, document)
    return Publication(
        number=number,
        name=document["program"],
        version=version,
        content_hash=digest,
        effective_from=effective_from,
        published_at=published_at,
        document=document,
        is_repeated=same is not None,
    )


def _check_successor(
    document: dict[str, Any], effective_from: Micros, known: Sequence[PublishedVersion], published_at: Micros
) -> None:
    """Raises NotPublished if a new version does not fit those before it: other program, other currency, too early."""
    name, first = document["program"], min(known, key=lambda other: (other.effective_from, other.number))
    if first.name != name:
        raise NotPublished(f"this ledger runs the program {first.name}, not {name}: check the file, or the address")
    if first.currency != document["currency"]:
        raise NotPublished(f"this ledger counts in {first.currency}, and orders of two currencies cannot be added up")
    if effective_from < published_at + _NOTICE:
        raise NotPublished(
            f"effective_from {rfc3339(effective_from)} is less than {NOTICE_MINUTES} minutes from now: "
            f"set it to {rfc3339(published_at + _NOTICE)} or later"
        )
    if effective_from <= first.effective_from:
        raise NotPublished(
            f"effective_from {rfc3339(effective_from)} is not after {rfc3339(first.effective_from)}, from which "
            f"the first version, {first.version}, is in force; that one covers all earlier times"
        )


async def publish_document(connection: Connection, document: dict[str, Any], clock: Clock = now) -> Publication:
    """Store a validated document and put its event into the outbox, in one transaction. Raises NotPublished."""
    async with connection.transaction():
        await connection.execute(_SQL.one_at_a_time)
        planned = plan(document, await known_versions(connection), clock())
        if not planned.is_repeated:
            await connection.execute(
                _SQL.add_version,
                planned.number,
                planned.name,
                planned.version,
                planned.content_hash,
                planned.effective_from,
                planned.published_at,
                orjson.dumps(planned.document).decode(),
            )
            # The topic has one partition, which the relay of shard 0 serves.
            row = OutboxRow(
                Shard(0), PROGRAM_TOPIC, planned.version.encode(), _published_event(planned), cloudevent.HEADERS
            )
            await append(connection, [row])
    return planned


async def known_versions(connection: Connection) -> list[PublishedVersion]:
    """All versions published so far."""
    return [
        PublishedVersion(number, name, version, digest, effective_from, orjson.loads(document)["currency"])
        for number, name, version, digest, effective_from, document in await connection.fetch(_SQL.known_versions)
    ]


def _published_event(planned: Publication) -> bytes:
    """`loyalty.program.published.v1` as a structured CloudEvent."""
    return cloudevent.structured(
        id=f"{planned.name}:{planned.version}",
        source=SOURCE,
        type="loyalty.program.published.v1",
        subject=planned.name,
        time=rfc3339(planned.published_at),
        data={
            "program": planned.name,
            "version": planned.version,
            "content_hash": planned.content_hash,
            "effective_from": rfc3339(planned.effective_from),
            "published_at": rfc3339(planned.published_at),
            "document": planned.document,
        },
    )


async def publish(settings: Settings, arguments: list[str]) -> int:
    """publish FILE [--dry-run] [--because TEXT]: check a program document and publish it. Answers the exit code."""
    arguments, because = _because(arguments)
    files = [argument for argument in arguments if argument != "--dry-run"]
    dry_run = "--dry-run" in arguments
    if len(files) != 1 or files[0].startswith("-"):
        return _fail("usage: publish FILE [--dry-run] [--because TEXT]", code=2)
    try:
        text = Path(files[0]).read_text("utf-8")  # noqa: ASYNC240 - a command has nothing else to do
        checked = check(text)
    except (OSError, UnicodeDecodeError) as error:
        return _fail(f"{files[0]}: {error}", code=2)
    except ProgramRefused as refused:
        problems = [f"{files[0]}: {problem}" for problem in refused.problems]
        return _fail(*problems, f"Not published: {len(problems)} to correct. What was published before stays in force.")
    for warning in checked.warnings:
        print(f"{files[0]}: warning: {warning}", file=sys.stderr)
    try:
        by = audit.operator(settings, because)
        _report(await _publish(settings, checked.program.document(), by, dry_run=dry_run), dry_run)
    except NotPublished as error:
        return _fail(f"{files[0]}: {error}", "Not published. What was published before stays in force.")
    except Exception as error:
        if not is_unavailable(error):
            raise
        return _fail(f"Not published: the database cannot be reached ({error}). Try again when it is back.")
    return 0


def _because(arguments: list[str]) -> tuple[list[str], str]:
    """The other arguments, and the text after `--because`."""
    if "--because" not in arguments[:-1]:
        return arguments, ""
    place = arguments.index("--because")
    return arguments[:place] + arguments[place + 2 :], arguments[place + 1]


async def _publish(settings: Settings, document: dict[str, Any], by: audit.By, *, dry_run: bool) -> Publication:
    connection = await connect(settings, part="publish")
    try:
        await register_codecs(connection)
        if dry_run:
            return plan(document, await known_versions(connection), now())
        async with connection.transaction():
            planned = await publish_document(connection, document)
            if not planned.is_repeated:
                await audit.record(connection, by, "program.published", f"{planned.name} {planned.version}")
        return planned
    except asyncpg.UndefinedTableError:
        raise NotPublished("the database has no tables yet: run `python -m services.ledger migrate` first") from None
    finally:
        await connection.close()


def _report(planned: Publication, dry_run: bool) -> None:
    title = f"{planned.name} {planned.version} ({planned.content_hash})"
    force = f"in force from {rfc3339(planned.effective_from)}"
    if planned.number == 1:
        force += ", and for all earlier times"
    if planned.is_repeated:
        print(f"{title} is published already; nothing changed.")
    elif dry_run:
        print(f"{title} can be published; it would be {force}.")
    else:
        print(f"Published {title}, {force}.")


def _fail(*lines: str, code: int = 1) -> int:
    for line in lines:
        print(line, file=sys.stderr)
    return code
