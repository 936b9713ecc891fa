"""Journals that releases have written, one directory a format, and what reads them (K4). They are never written anew.

`format_1/journals.json.xz`: of 142 drawn histories, their programs and the journal rows and entries of each account.
`format_1/ledger.sql.xz`: a ledger's schema with its data: a shop's day, and the first orders of Online Retail (D. Chen,
UCI Machine Learning Repository, 2015, CC BY 4.0), some of them paid in part with points.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from services.kit.calendar import Day, Micros
from services.ledger.domain.chain import Format, decode_record
from services.ledger.reads.rows import EntryRow, JournalRow

HERE: Final = Path(__file__).parent
LEDGER_OF_FORMAT_1: Final = HERE / "format_1" / "ledger.sql.xz"


class History(NamedTuple):
    """The programs under which accounts were booked, and the accounts' rows, each with its entries."""

    programs: Sequence[Mapping[str, Any]]
    accounts: Mapping[str, Sequence[tuple[JournalRow, list[EntryRow]]]]


def histories_of_format_1() -> Iterator[History]:
    """The drawn histories as the first release has booked them."""
    for history in json.loads(lzma.decompress((HERE / "format_1" / "journals.json.xz").read_bytes())):
        accounts = {
            member_id: [_row_of(Format(1), number, *row) for row in rows]
            for number, (member_id, rows) in enumerate(history["accounts"].items(), 1)
        }
        yield History(history["programs"], accounts)


def _row_of(format_: Format, account: int, *row: Any) -> tuple[JournalRow, list[EntryRow]]:
    """A row as `tests.golden.rows` writes it."""
    digest, kind, version, at, now, input_, record, head, entries = row
    outcome = decode_record(bytes.fromhex(record)).kind
    journal = JournalRow(
        account,
        version,
        bytes.fromhex(digest),
        Micros(at),
        Micros(now),
        kind,
        outcome,
        bytes.fromhex(input_),
        bytes.fromhex(record),
        bytes.fromhex(head),
        format_,
    )
    return journal, [
        EntryRow(
            version, line, Micros(now), Day(day), debit, credit, points, Day(lot_day), Day(parent), rule, ref, program
        )
        for line, (debit, credit, points, lot_day, parent, rule, ref, day, program) in enumerate(entries, 1)
    ]
