"""Journal rows as data: written, hashed, compared, and a difference in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec

HASH_LENGTH: Final = 16
"""Hexadecimal digits kept of the hash of a row."""


class Entry(NamedTuple):
    """Points moved from one account of the books to another. Days are ordinals."""

    debit: str
    credit: str
    points: int
    lot_day: int
    lot_parent: int
    rule: str
    ref: str
    day: int
    program: int


class Row(NamedTuple):
    """What the journal keeps of one input, with its entries in order. Instants are microseconds."""

    digest: bytes
    type: str
    version: int
    at: int
    now: int
    input_: bytes
    record: bytes
    head: bytes
    entries: tuple[Entry, ...]


Journals = Mapping[str, Sequence[Row]]
"""The rows of each account, by its member id, in the order of their versions."""


class Kept(NamedTuple):
    """What is kept of an account's journal: a hash of each row, and the first rows themselves."""

    hashes: Sequence[str]
    rows: Sequence[Any] = ()


def data_of(row: Row) -> list[Any]:
    """A row as JSON has it; bytes are hexadecimal."""
    return [*(part.hex() if isinstance(part, bytes) else part for part in row[:-1]), [list(e) for e in row.entries]]


def encoded(row: Row) -> bytes:
    """The bytes by which rows are compared."""
    return json.dumps(data_of(row), ensure_ascii=False, separators=(",", ":")).encode()


def hash_of(row: Row) -> str:
    """A row's hash, short."""
    return sha256(encoded(row)).hexdigest()[:HASH_LENGTH]


def hash_of_all(journals: Journals) -> str:
    """One hash of all rows, account by account."""
    hashed = sha256()
    for member_id in sorted(journals):
        hashed.update(f"{member_id}\n".encode())
        for row in journals[member_id]:
            hashed.update(encoded(row) + b"\n")
    return hashed.hexdigest()


def count(journals: Journals) -> tuple[int, int]:
    """How many rows and how many entries."""
    rows = [row for each in journals.values() for row in each]
    return len(rows), sum(len(row.entries) for row in rows)


def kept(journals: Journals, *, whole: bool) -> dict[str, Any]:
    """What a fixture has of some accounts, as JSON has it."""
    return {
        member_id: {
            "hashes": "".join(map(hash_of, rows)),
            **({"rows": [data_of(row) for row in rows]} if whole else {}),
        }
        for member_id, rows in sorted(journals.items())
    }


def read_kept(data: Mapping[str, Any]) -> dict[str, Kept]:
    """What `kept` made."""
    return {
        member_id: Kept(
            [each["hashes"][at : at + HASH_LENGTH] for at in range(0, len(each["hashes"]), HASH_LENGTH)],
            each.get("rows", ()),
        )
        for member_id, each in data.items()
    }


def difference(recorded: Mapping[str, Kept], played: Journals) -> str | None:
    """The first difference between what was recorded and what was played, in words; None if there is none."""
    for member_id in sorted({*recorded, *played}):
        before, now = recorded.get(member_id, Kept(())), played.get(member_id, ())
        for place in range(max(len(before.hashes), len(now))):
            words = list(_at(before, now, place))
            if words:
                return "\n".join([f"account {member_id}, row {place + 1}:", *(f"  {line}" for line in words)])
    return None


def _at(before: Kept, now: Sequence[Row], place: int) -> Iterator[str]:
    """What differs at a place of an account's journal."""
    row = now[place] if place < len(now) else None
    if place >= len(before.hashes):
        yield f"only {len(before.hashes)} rows were recorded, and here is one more"
        yield from _described("now", row)
    elif place < len(before.rows):
        if row is None or before.rows[place] != data_of(row):
            yield from _beside(before.rows[place], row)
    elif row is None:
        yield f"{len(before.hashes)} rows were recorded, and now there are only {len(now)}"
    elif before.hashes[place] != hash_of(row):
        yield f"of this row its hash alone was recorded, {before.hashes[place]}; now it is {hash_of(row)}"
        yield from _described("now", row)


def _beside(before: Sequence[Any], now: Row | None) -> Iterator[str]:
    """Two rows, part by part: what is the same once, what differs twice."""
    if now is None:
        yield "is no longer there"
    parts_before, parts_now = _parts(before), _parts(data_of(now)) if now is not None else {}
    for name in {**parts_before, **parts_now}:
        recorded, played = parts_before.get(name, "none"), parts_now.get(name, "none")
        if recorded == played:
            yield f"{name}: {_readable(name, recorded)}"
        else:
            yield f"{name} DIFFERS"
            for when, part in (("recorded", recorded), ("now     ", played)):
                spelled = _readable(name, part)
                yield f"    {when} {spelled}{f' ({part})' if spelled != part else ''}"


def _described(when: str, row: Row | None) -> Iterator[str]:
    if row is not None:
        yield from (f"{when} {name}: {_readable(name, part)}" for name, part in _parts(data_of(row)).items())


def _parts(row: Sequence[Any]) -> dict[str, str]:
    """The parts of a row by name."""
    *parts, entries = row
    named = dict(zip(Row._fields[:-1], map(str, parts), strict=True))
    return named | {f"entry {number}": _entry(entry) for number, entry in enumerate(entries, 1)}


def _readable(name: str, part: str) -> str:
    """A part of a row; what is msgpack is spelled out."""
    if name not in ("given", "record"):
        return part
    try:
        return str(msgspec.msgpack.decode(bytes.fromhex(part)))
    except (msgspec.DecodeError, ValueError):
        return part


def _entry(entry: Sequence[Any]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in zip(Entry._fields, entry, strict=True))
