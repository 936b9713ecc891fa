"""The drawn histories, played: of some the whole journal is kept, of all a hash of each row."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tests.golden.histories import DATA, History, read, read_json, step_of, write_json
from tests.golden.rows import Row, count, difference, kept, read_kept
from tests.golden.seam import Books, row_of
from tests.model.events import Timer
from tests.simulation.loop import TimelessLoop
from tests.unit.ledger_member import MemoryLedger

JOURNALS: Final = DATA / "journals.json.xz"
_WHOLE: Final = 3
"""Of every so many histories the journal is kept whole."""


class Compared(NamedTuple):
    """What was played and compared; `difference` is the first one, in words, or None."""

    histories: int = 0
    inputs: int = 0
    rows: int = 0
    entries: int = 0
    whole: int = 0
    """Rows that were kept whole."""
    difference: str | None = None


def play(history: History) -> dict[str, list[Row]]:
    """A history's journals, by account."""
    if history.members == "several":
        loop = TimelessLoop()
        try:
            return loop.run_until_complete(_play_several(history))
        finally:
            loop.close()
    ledger = MemoryLedger(history.programs, tiers="closed" if history.tiers == "closed" else "received")
    for kind, *step in history.steps:
        if kind == "batch":
            ledger.take_together([each for each in map(step_of, step[0]) if not isinstance(each, Timer)])
        else:
            ledger.take(step_of([kind, *step]))
    accounts = {ledger.account.member_id: ledger, **ledger.budgets}
    return {member_id: [row_of(row) for row in account.journal] for member_id, account in accounts.items()}


async def _play_several(history: History) -> dict[str, list[Row]]:
    books = Books(history.programs)
    await books.open()
    for kind, *step in history.steps:
        match kind, step:
            case "told", [inputs]:
                await books.book([books.input_of(member_id, array, now) for now, member_id, array in inputs])
            case "asked", [now, member_id, array]:
                await books.ask(books.input_of(member_id, array, now))
            case "deliver", [now]:
                while internal_messages := books.internal_messages(now):
                    await books.book(internal_messages)
            case "sweep", [now]:
                while due := await books.due(now):
                    await books.book([books.timer(each, now) for each in due])
            case _:
                raise ValueError(f"no step: {kind}")
    return books.journals()


def record() -> Compared:
    """Keep what comes of the histories now."""
    compared, recorded = Compared(), list[Any]()
    for number, history in enumerate(read()):
        journals = play(history)
        whole = number % _WHOLE == 0
        recorded.append(kept(journals, whole=whole))
        compared = _add(compared, history, journals, whole)
    write_json(JOURNALS, recorded)
    return compared


def compare(*, whole_only: bool = False) -> Compared:
    """Play the histories, or those whose journal was kept whole, and compare, up to the first difference."""
    compared = Compared()
    for number, (history, data) in enumerate(zip(read(), read_json(JOURNALS), strict=True)):
        if whole_only and number % _WHOLE:
            continue
        journals, recorded = play(history), read_kept(data)
        compared = _add(compared, history, journals, number % _WHOLE == 0)
        if (words := difference(recorded, journals)) is not None:
            return compared._replace(difference=f"history {number} ({history.flavour}), {words}")
    return compared


def _add(compared: Compared, history: History, journals: dict[str, list[Row]], whole: bool) -> Compared:
    rows, entries = count(journals)
    return Compared(
        compared.histories + 1,
        compared.inputs + history.inputs,
        compared.rows + rows,
        compared.entries + entries,
        compared.whole + (rows if whole else 0),
    )
