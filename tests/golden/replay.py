"""A file in the Online Retail format, played through the real write path on a store in memory, member by member.

The events are those of `make replay` at a fixed time. As with `REDEEM`, some orders are paid in part with points that
are held shortly before. Each input comes in so long after its business time. What the ledger announces is folded by
tiering, whose facts come back. For every other member what falls due is booked as soon as it does, and its inputs come
one by one; those of the others come several at once. In the end all that is left falls due.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from deploy.shop.checkout import Checkout, Ending, ExpectedPoints
from deploy.shop.events import Event
from deploy.shop.online_retail import read_shop
from deploy.shop.replay import SOURCE, PointsUsed, parts, replay
from schemas.program import load
from services.kit.calendar import NOT_YET, Micros, later
from tests.golden.rows import Journals, Row, count, data_of, difference, hash_of_all, kept, read_kept
from tests.golden.seam import Books, Ladder, MemberInput
from tests.model.days import DAY
from tests.simulation.loop import TimelessLoop

_AS_OF: Final = datetime(2026, 7, 15, 12, tzinfo=UTC)
"""When the file is published: its last day lies in the week before."""
_CURRENCY: Final = "CNY"
_DECIMALS: Final = 2
_SEED: Final = 1
JOURNAL_ROWS: Final = 20_000
"""Of so many inputs, the first, the journal is kept whole."""

_PROGRAM: Final = Path(__file__).parents[2] / "deploy" / "program.yaml"
_SECOND: Final = 1_000_000
_LAG: Final = 3 * _SECOND
_TOGETHER: Final = 10
_AFTERWARDS: Final = 420 * DAY
"""By then all points have ended."""
_HOLDS: Final[Mapping[Ending, tuple[int, int]]] = {
    Ending.PAID: (60 * _SECOND, 3600),
    Ending.PAID_LATE: (_SECOND // 2, 1),  # over when the order comes in, but not when it was paid
    Ending.RELEASED: (60 * _SECOND, 3600),
    Ending.LEFT: (60 * _SECOND, 1),
}
"""How long before its order a hold is made, and for how many seconds."""


class Played(NamedTuple):
    """What came of a file."""

    journals: Journals
    counts: Mapping[str, int]
    """Inputs by how they came in, checkouts by what became of them."""


class Compared(NamedTuple):
    """What was recorded, or played and compared; `difference` is the first one, in words, or None."""

    counts: Mapping[str, int]
    members: int
    rows: int
    entries: int
    hash: str
    difference: str | None = None


class _Arriving(NamedTuple):
    """An event; if its order has a checkout, that too, and the event as it is if points pay a part."""

    event: Event
    checkout: Checkout | None = None
    with_points: Event | None = None


def record(file: Path, recording: Path, journal: Path, *, limit: int | None = None) -> Compared:
    """Play a file under the program of today; keep a hash of each row, and the first rows themselves beside it."""
    document = load(_PROGRAM.read_text("utf-8")).document()
    journals, counts = _play(file, document, limit)
    rows, entries = count(journals)
    compared = Compared(counts, len(journals), rows, entries, hash_of_all(journals))
    accounts = kept(journals, whole=False)
    for member_id, account in accounts.items():
        own = journals[member_id]
        account |= {
            "head": own[-1].head.hex() if own else "",
            "rows": len(own),
            "entries": sum(len(row.entries) for row in own),
        }
    _write(
        recording,
        {
            "file": _name_of(file),
            "limit": limit,
            "program": document,
            **compared._asdict(),
            "accounts": accounts,
        },
    )
    _write(journal, _first(journals, JOURNAL_ROWS))
    return compared


def compare(file: Path, recording: Path, journal: Path) -> Compared:
    """Play a file under the program it was recorded with, and compare; the journal shows more of a difference."""
    recorded = _read(recording)
    if recorded["file"] != _name_of(file):
        raise ValueError(f"{recording} was made of another file than {file}")
    journals, counts = _play(file, recorded["program"], recorded["limit"])
    rows, entries = count(journals)
    compared = Compared(counts, len(journals), rows, entries, hash_of_all(journals))
    whole = _read(journal) if journal.exists() else {}
    before = {
        member_id: each._replace(rows=whole.get(member_id, ()))
        for member_id, each in read_kept(recorded["accounts"]).items()
    }
    words = difference(before, journals)
    if words is None:
        for name, now in compared._asdict().items():
            if name != "difference" and recorded[name] != now:
                words = f"{name}: recorded {recorded[name]}, now {now}"
                break
    return compared._replace(difference=words)


def _play(file: Path, document: Mapping[str, Any], limit: int | None) -> Played:
    counts: Counter[str] = Counter()
    journals: dict[str, Sequence[Row]] = {}
    loop = TimelessLoop()
    try:
        for number, (member_id, inputs) in enumerate(sorted(_by_member(file, limit).items())):
            life = _Life(document, member_id, counts, is_swept=number % 2 == 0)
            journals |= loop.run_until_complete(life.play(inputs))
    finally:
        loop.close()
    return Played(journals, dict(sorted(counts.items())))


def _by_member(file: Path, limit: int | None) -> Mapping[str, Sequence[_Arriving]]:
    """The events of each member, in the order of their business times."""
    shop = read_shop(file, decimals=_DECIMALS, limit=limit)
    expected = ExpectedPoints(_SEED, _DECIMALS)
    checkouts = {each.order_id: each for part in parts(shop) for each in expected.checkouts(part)}
    used = {order_id: PointsUsed(_hold_id(order_id), each.points) for order_id, each in checkouts.items()}
    with_money = replay(shop, currency=_CURRENCY, now=_AS_OF).events
    with_points = replay(shop, currency=_CURRENCY, now=_AS_OF, used=used).events
    by_member: defaultdict[str, list[_Arriving]] = defaultdict(list)
    for event, other in zip(with_money, with_points, strict=True):
        arriving = _Arriving(event)
        if event.body != other.body:
            arriving = _Arriving(event, checkouts[json.loads(event.body)["data"]["order_id"]], other)
        by_member[event.member_id].append(arriving)
    return by_member


class _Life:
    """One member's year."""

    def __init__(self, document: Mapping[str, Any], member_id: str, counts: Counter[str], *, is_swept: bool) -> None:
        self._books = Books([document])
        self._ladder = Ladder([document])
        self._member_id = member_id
        self._counts = counts
        self._is_swept = is_swept
        self._waiting: list[MemberInput] = []
        self._now = NOT_YET

    async def play(self, inputs: Sequence[_Arriving]) -> Journals:
        """Book all events, and what falls due afterwards."""
        await self._books.open()
        for each in inputs:
            event = each.event
            if each.checkout is not None and await self._hold(each.checkout, event.at):
                assert each.with_points is not None
                event = each.with_points
            await self._move(later(event.at, _LAG))
            self._waiting.append(self._books.received(event.topic, event.member_id, event.body, self._now))
            self._counts["events"] += 1
            if self._is_swept or len(self._waiting) == _TOGETHER:
                await self._book_waiting()
        await self._book_waiting()
        await self._sweep(later(self._now, _AFTERWARDS))
        return self._books.journals()

    async def _move(self, now: Micros) -> None:
        """Let the clock come to an instant, if it is not there yet."""
        self._now = max(self._now, now)
        if self._is_swept:
            await self._sweep(self._now)

    async def _sweep(self, until: Micros) -> None:
        """Book what is due by then, each at its time."""
        while due := await self._books.due(later(until, -_LAG)):
            now = later(max(each.since for each in due), _LAG)
            self._counts["timers"] += len(due)
            await self._book([self._books.timer(each, now) for each in due], now)

    async def _book_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        await self._book(waiting, self._now)

    async def _book(self, inputs: Sequence[MemberInput], now: Micros) -> None:
        """Book inputs, and then the tier facts that tiering answers with."""
        while inputs:
            await self._books.book(inputs)
            inputs = self._ladder.follow(self._books, now)
            self._counts["tiers"] += len(inputs)

    async def _hold(self, checkout: Checkout, paid_at: Micros) -> bool:
        """Hold a checkout's points; whether its order is to name the hold."""
        before, seconds = _HOLDS[checkout.ending]
        hold_id, name = _hold_id(checkout.order_id), f"checkout-{checkout.order_id}"
        await self._book_waiting()
        await self._move(later(paid_at, -before))
        is_held = await self._ask("hold", name, hold_id, name, checkout.points, seconds)
        self._counts[f"checkouts {checkout.ending if is_held else 'refused'}"] += 1
        if is_held and checkout.ending is Ending.RELEASED:
            await self._move(later(paid_at, -(before // 2)))
            assert await self._ask("release", name, hold_id)
        return is_held and checkout.ending in (Ending.PAID, Ending.PAID_LATE)

    async def _ask(self, kind: str, name: str, *fields: Any) -> bool:
        """Whether a command was done."""
        self._counts["commands"] += 1
        array = [kind, SOURCE, f"{kind}:{name}", self._now, *fields]
        status, _ = await self._books.ask(self._books.input_of(self._member_id, array, self._now))
        return status < 400


def _hold_id(order_id: str) -> str:
    return sha256(order_id.encode()).hexdigest()[:24]


def _first(journals: Journals, most: int) -> dict[str, list[Any]]:
    """The first rows, member by member."""
    found: dict[str, list[Any]] = {}
    for member_id, rows in sorted(journals.items()):
        found[member_id] = [data_of(row) for row in islice(rows, most)]
        most -= len(found[member_id])
        if not most:
            break
    return found


def _name_of(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()


def _read(path: Path) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()))


def _write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
