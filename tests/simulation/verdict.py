"""What must hold in the end, however often the worker died."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from services.kit.calendar import Micros
from services.ledger import store
from services.ledger.answers import Answer
from services.ledger.audit import Audit, EntryRow, JournalRow, Projections
from services.ledger.domain.inputs import Command, decode_input
from services.ledger.domain.member import LotRow
from services.ledger.domain.program import Programs, compile_program
from tests.simulation.tables import Database
from tests.simulation.world import TOPIC, World

Journalled = tuple[bytes, Micros, str, bytes]
"""(digest, at, type, input)."""


def broken(world: World, database: Database) -> Iterator[str]:
    """What does not hold of a world in memory, in words; nothing if all is well."""
    rows = [(row[1], row[2], row[6], row[8]) for row in database.journal.values()]
    yield from told_once(world, rows)
    kept = {digest: Answer(row["status"], row["body"]) for (_, digest), row in database.answers.items()}
    yield from answered_once(world, kept)
    for shard, records in world.records.items():
        if database.offsets[shard, TOPIC] != len(records):
            yield f"shard {shard} ends at {database.offsets[shard, TOPIC]} of {len(records)} records"
    yield from _accounts(database)
    yield from _announced(database)


def told_once(world: World, journal: Iterable[Journalled]) -> Iterator[str]:
    """Each event and each command is booked once, with the payload that came first."""
    booked: dict[tuple[bytes, Micros], bytes] = {}
    commands: Counter[bytes] = Counter()
    for digest, at, kind, raw in journal:
        if kind == "timer":
            continue
        if isinstance(decode_input(raw), Command):
            commands[digest] += 1
        else:
            booked[digest, at] = raw
    if booked != world.told:
        missing, strange = world.told.keys() - booked.keys(), booked.keys() - world.told.keys()
        yield f"{len(missing)} events are not booked, {len(strange)} were never told, or a payload is not the first"
    if twice := [digest.hex() for digest, count in commands.items() if count > 1]:
        yield f"commands booked twice: {twice[:3]}"
    if commands.keys() != world.answers.keys():
        yield f"{len(world.answers)} commands answered, {len(commands)} booked"


def answered_once(world: World, kept: Mapping[bytes, Answer]) -> Iterator[str]:
    """Each client has the answer that was kept."""
    for digest, answer in world.answers.items():
        if kept.get(digest) != answer:
            yield f"{digest.hex()} was answered {answer}, kept is {kept.get(digest)}"


def _accounts(database: Database) -> Iterator[str]:
    """Chains, sums, lots and dates of each account, and its projections beside what the fold makes of its inputs."""
    programs = Programs(compile_program(row["number"], orjson.loads(row["document"])) for row in database.programs)
    journals: defaultdict[tuple[int, int], list[tuple[Any, ...]]] = defaultdict(list)
    for row in database.journal.values():
        journals[row[0], row[3]].append(row)
    for (shard, member), number in database.identities.items():
        key = shard, number
        audit = Audit(programs, number, member)
        entries: defaultdict[int, list[EntryRow]] = defaultdict(list)
        for entry in database.entries[key]:
            entries[entry[2]].append(EntryRow(*entry[1:]))
        for _, digest, at, account, version, now, kind, outcome, given, record, head in sorted(
            journals[key], key=lambda row: row[4]
        ):
            row = JournalRow(account, version, digest, at, now, kind, outcome, given, record, head)
            audit.journal(row, entries.pop(version, ()))
        for stray in entries.values():
            audit.stray(stray)
        totals = {"account": number, "member_id": member, **database.accounts[key]}
        stored = Projections(
            lots=[LotRow(*lot, *columns) for lot, columns in database.lots[key].items()],
            orders={
                ref: (
                    order["paid_at"] or 0, order["due"] or 0, order["success_from"] or 0, order["success_until"] or 0,
                    order["state"],
                )
                for ref, order in database.orders[key].items()
            },
            lines=database.lines[key],
            facts=database.facts[key],
        )  # fmt: skip
        audit.finish(store.account_of(totals), totals["details"], stored)  # type: ignore[arg-type]
        for fault in audit.faults:
            yield f"{member}: {fault.check}: {fault.detail}"
        if sum(audit.sums.values()):
            yield f"{member}: the books do not balance"


def _announced(database: Database) -> Iterator[str]:
    """What moved points is told to the outside, each part once."""
    told: defaultdict[str, set[int]] = defaultdict(set)
    ids: set[str] = set()
    for *_, value, _ in database.outbox:
        event = orjson.loads(value)
        if event["id"] in ids:
            yield f"{event['id']} is announced twice"
        ids.add(event["id"])
        told[event["subject"]].add(event["data"]["member_version"])
    for (shard, member), number in database.identities.items():
        moved = {entry[2] for entry in database.entries[shard, number]}
        if silent := moved - told[member]:
            yield f"{member}: versions {sorted(silent)[:3]} moved points and say nothing"
