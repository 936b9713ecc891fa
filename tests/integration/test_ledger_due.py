"""Days on which much falls due, clocks that jump, sweepers that die, on a real PostgreSQL: each thing once (E1)."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import date
from itertools import count, islice
from pathlib import Path
from typing import TypeVar

import pytest

from services.kit import clock
from services.kit.calendar import MICROS_PER_SECOND, Micros, later, parse_rfc3339
from services.kit.dead_letter import Refused
from services.kit.executor import DatabaseUnavailable, Executor, Fence
from services.kit.kafka import Shard, shard_of
from services.kit.postgres import Connection
from services.kit.shard_worker import COURTEOUS_BATCH
from services.kit.sweeper import Sweeper
from services.ledger.answers import Answer
from services.ledger.audit.verify import examine, summarise
from services.ledger.consumer import TOPICS
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import digest_of
from services.ledger.domain.state.inputs import AnyInput, DueTimer, RedeemPoints, SignedIn
from services.ledger.domain.state.outcome import Outcome
from services.ledger.executor import Ledger
from services.ledger.inputs import Booked, MemberCommand, MemberInput, Misrouted
from services.ledger.jobs.day_close import AGAIN, DayClose
from services.ledger.jobs.due import DueAccounts
from services.ledger.jobs.upkeep import Upkeep
from tests.conftest import REPOSITORY, MakeDatabase
from tests.fortunes import grant
from tests.integration.kit_support import eventually
from tests.integration.ledger_support import LedgerUnderTest, ledger_on
from tests.model import events as shop

T = TypeVar("T")
DAY = 86_400 * MICROS_PER_SECOND
SWEEP = 500
TOPIC = "commerce.signins.v1"


@pytest.fixture
async def ledger(make_database: MakeDatabase, jwks_file: Path) -> AsyncIterator[LedgerUnderTest]:
    async with ledger_on(make_database(), jwks_file=jwks_file) as under_test:
        yield under_test


class Worker:
    """The executor of a worker and its sweeper on a ledger's clock; it counts the timers that are booked."""

    def __init__(self, ledger: LedgerUnderTest, page: int = SWEEP) -> None:
        self.timers = 0
        self.defect: Callable[[MemberInput], bool] = lambda _: False
        """Of which timers booking raises."""
        self.lost: Callable[[MemberInput], bool] = lambda _: False
        """Which timers are said to be booked and are not."""
        self.tried: Counter[str] = Counter()
        self._ledger = ledger
        self._booking = Ledger()
        self.executor: Executor[MemberInput | Misrouted, Booked] = Executor(ledger.pool, self._book)
        sweep = DueAccounts(ledger.pool, self.executor, page, now=ledger.clock)
        self.sweeper = Sweeper(ledger.settings, sweep, every_seconds=0.05, alarms=sweep.alarms)
        self._upkeep = Upkeep(ledger.pool, self._booking, ledger.settings.shards)

    @asynccontextmanager
    async def sweeping(self) -> AsyncIterator[None]:
        """Sweep meanwhile, with the upkeep that a worker has."""
        await self._upkeep.start()
        await self.sweeper.start()
        try:
            yield
        finally:
            await self.sweeper.stop()
            await self._upkeep.stop()

    async def _book(
        self, tx: Connection, shard: Shard, inputs: Sequence[MemberInput | Misrouted]
    ) -> Sequence[Booked | Refused]:
        timers = [
            each for each in inputs if isinstance(each, MemberInput) and isinstance(each.arrival.input_, DueTimer)
        ]
        if len(inputs) == 1:
            self.tried.update(each.member_id for each in timers)
        if any(map(self.defect, timers)):
            raise ZeroDivisionError("a defect of the fold")
        lost = [each for each in timers if self.lost(each)]
        outcomes = await self._booking.book(tx, shard, [each for each in inputs if each not in lost])
        self.timers += len(timers) - len(lost)
        return [*outcomes, *[None] * len(lost)]

    async def meanwhile(self, asked: Awaitable[T]) -> tuple[T, int]:
        """What was answered, and how many timers were booked until then."""
        before = self.timers
        return await asked, self.timers - before


async def due(ledger: LedgerUnderTest) -> int:
    """How many accounts have something due."""
    async with ledger.pool.acquire() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM account WHERE next_due <= $1", ledger.now))


async def expired(ledger: LedgerUnderTest) -> tuple[int, int]:
    """(lots that expired, members of whom they are)."""
    async with ledger.pool.acquire() as connection:
        row = await connection.fetchrow(
            "SELECT count(*), count(DISTINCT account) AS members FROM entry WHERE credit = 'expired'"
        )
    assert row is not None
    return row["count"], row["members"]


async def holds_together(ledger: LedgerUnderTest) -> None:
    """Every account folded again gives what is there."""
    summary = summarise(*await examine(ledger.settings))
    assert summary["ok"], summary


def member_input(member_id: str, input_: AnyInput, now: Micros) -> MemberInput:
    return MemberInput(member_id, Arrival(digest_of(member_id, input_.source, input_.id), input_, now))


async def test_E1_on_a_day_with_very_much_due_commands_and_events_go_first(ledger: LedgerUnderTest) -> None:
    members, asked = 12_000, 30
    first = parse_rfc3339("2026-03-01T10:00:00+08:00")
    await grant(ledger.pool, shards=ledger.settings.shards, members=members, at=first)
    await ledger.receive(shop.paid("o1", shop.d(300), "900", member="buyer"), at=shop.d(300, "10:00:01"))
    await ledger.receive(shop.completed("o1", shop.d(301), member="buyer"), at=shop.d(301, "10:00:01"))
    shard = shard_of("buyer", ledger.settings.shards)
    await ledger.tamper("INSERT INTO consumer_offset (shard, topic, next_offset) VALUES ($1, $2, 0)", shard, TOPIC)
    ledger.now = parse_rfc3339("2027-03-02T00:00:00+08:00")
    await ledger.sweep("buyer")
    assert await due(ledger) == members
    worker = Worker(ledger)

    async def sign_in(number: int) -> int:
        input_ = SignedIn("/shop/backend", f"sign-in-{number}", ledger.now)
        fence = Fence([TOPIC], [number], [number + 1])
        (outcome,), timers = await worker.meanwhile(
            worker.executor.run(shard, [member_input("buyer", input_, ledger.now)], fence=fence)
        )
        assert isinstance(outcome, Outcome)
        return timers

    async def redeem(number: int) -> int:
        input_ = RedeemPoints("app", f"spend-{number}", ledger.now, f"r-{number}", f"r-{number}", 1)
        command = MemberCommand("buyer", member_input("buyer", input_, ledger.now).arrival, b"")
        answer, timers = await worker.meanwhile(worker.executor.submit(shard, command))
        assert isinstance(answer, Answer)
        assert answer.status == 201
        return timers

    async with worker.sweeping():
        while not worker.timers:  # noqa: ASYNC110  # until a state, not an event
            await asyncio.sleep(0)
        waited = [await ask(number) for ask in (sign_in, redeem) for number in range(asked)]
        # Each waits for the page in flight and those that the sweeper begins beside it: one large one, from before.
        *others, most = sorted(waited)
        assert others[-1] <= 3 * COURTEOUS_BATCH
        assert most <= SWEEP + 2 * COURTEOUS_BATCH
        assert worker.timers < members, "all was answered before the rest of the day was done"

        async def done() -> bool:
            return await due(ledger) == 0

        await eventually(done, seconds=120, what="the rest of it")
    assert worker.timers == members
    assert await expired(ledger) == (members, members)
    await holds_together(ledger)


@pytest.mark.parametrize("point", ["ledger.written", "before_commit", "after_commit"])
async def test_E1_a_sweeper_that_is_killed_in_the_middle_expires_each_lot_once(
    ledger: LedgerUnderTest, point: str, tmp_path: Path
) -> None:
    members = 400
    ledger.now = clock.now()
    await grant(ledger.pool, shards=ledger.settings.shards, members=members, at=later(ledger.now, -380 * DAY))
    log = tmp_path / "log"
    # Each kill is one batch later, so what the one before left behind is there.
    for nth in (1, 2, 3):
        assert await ended(sweeper_of(ledger, log, LOYALTY_KILL_AT=f"{point}:{nth}")) != 0, log.read_text()
        assert 0 < await due(ledger) <= members
    assert await due(ledger) < members
    sweeper = sweeper_of(ledger, log)
    try:

        async def done() -> bool:
            assert sweeper.poll() is None, log.read_text()
            return await due(ledger) == 0

        await eventually(done, seconds=60, what=f"the rest of it; log: {log}")
    finally:
        sweeper.send_signal(signal.SIGTERM)
        assert await ended(sweeper) == 0, log.read_text()
    assert await expired(ledger) == (members, members)
    await holds_together(ledger)


def sweeper_of(ledger: LedgerUnderTest, log: Path, **variables: str) -> subprocess.Popen[bytes]:
    """The ledger's own sweeper, in a process."""
    settings = ledger.settings
    environment = {
        "PATH": "/usr/bin:/bin",
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "JWKS_FILE": str(settings.jwks_file),
        "SWEEP_BATCH": "10",
        **variables,
    }
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "services.ledger", "serve", "--parts", "sweeper", "--workers", "1"],
            env=environment,
            cwd=REPOSITORY,
            stdout=output,
            stderr=output,
        )


async def ended(process: subprocess.Popen[bytes]) -> int:
    return await asyncio.to_thread(process.wait, 60)


def on_shard(shard: Shard, name: str, number: int, shards: int) -> list[str]:
    """So many members of one shard."""
    names = (f"{name}-{n}" for n in count())
    return list(islice((each for each in names if shard_of(each, shards) == shard), number))


@pytest.mark.parametrize("kind", ["raises", "changes nothing"])
async def test_mend_c06_accounts_whose_timers_fail_are_gone_past(ledger: LedgerUnderTest, kind: str) -> None:
    shard = Shard(3)
    poison = set(on_shard(shard, "poison", 55, ledger.settings.shards))
    healthy = on_shard(shard, "healthy", 120, ledger.settings.shards)
    await ledger.receive(*(shop.signed_in(shop.d(1), member=each) for each in poison), at=shop.d(1, "10:00:01"))
    await ledger.receive(*(shop.signed_in(shop.d(2), member=each) for each in healthy), at=shop.d(2, "10:00:01"))
    ledger.now = parse_rfc3339("2027-06-01T00:30:00+08:00")
    worker = Worker(ledger, page=50)
    broken = [True]
    if kind == "raises":
        worker.defect = lambda timer: broken[0] and timer.member_id in poison
    else:
        worker.lost = lambda timer: broken[0] and timer.member_id in poison
    closing = DayClose(ledger.pool, ledger.settings.shards, _all_is_booked, now=ledger.clock, late_seconds=0.5)
    await ledger.tamper(
        "INSERT INTO consumer_offset (shard, topic, next_offset) SELECT $1, unnest($2::text[]), 0", shard, TOPICS
    )
    async with worker.sweeping():

        async def left() -> bool:
            return await due(ledger) == len(poison)

        await eventually(left, seconds=10, what="the healthy ones, which are due later")
        tried = dict(worker.tried)
        await asyncio.sleep(4)
        again = {each: worker.tried[each] - tried.get(each, 0) for each in poison}
        assert max(again.values()) <= 3, "after 1, 2 and 4 seconds"
        state = worker.sweeper.state()
        assert not state.ok
        assert state.detail.startswith("what is due on 55 accounts cannot be booked (shard 3 account ")
        assert await closing(shard) == 0
        assert not closing.alarms(), "the next look may close it"
        await asyncio.sleep(0.6)
        ledger.now = later(ledger.now, AGAIN)
        assert await closing(shard) == 0
        (why,) = closing.alarms()
        assert why == ("2027-05-31 is not closed on 1 shards (something of before its end is due and not booked)"), (
            "it is late by more than ten minutes"
        )
        broken[0] = False

        async def done() -> bool:
            return await due(ledger) == 0 and worker.sweeper.state().ok

        await eventually(done, seconds=20, what="the others, once the defect is mended")
        ledger.now = later(ledger.now, 60_000_000)
        assert await closing(shard) == 1
        assert not closing.alarms()
    assert await expired(ledger) == (175, 175)
    await holds_together(ledger)


async def _all_is_booked(shard: Shard, offsets: object, instant: Micros) -> bool:
    return True


async def test_E1_a_clock_that_jumps_forward_and_back_books_nothing_twice_and_takes_nothing_back(
    ledger: LedgerUnderTest,
) -> None:
    await ledger.receive(shop.signed_in(shop.d(1), member="anna"), at=shop.d(1, "10:00:01"))
    await ledger.receive(shop.paid("o1", shop.d(2), "900", member="anna"), at=shop.d(2, "10:00:01"))
    present, ahead = ledger.now, parse_rfc3339("2031-01-01T00:00:00+08:00")
    worker = Worker(ledger)
    shard = shard_of("anna", ledger.settings.shards)
    names = count()

    async def sign_in() -> Booked | Refused:
        input_ = SignedIn("/shop/backend", f"jump-{next(names)}", ledger.now)
        return await worker.executor.submit(shard, member_input("anna", input_, ledger.now), background=True)

    async def is_done() -> bool:
        return await due(ledger) == 0

    async with worker.sweeping():
        # Years at once, for which there is no partition yet.
        ledger.now = ahead
        await eventually(is_done, seconds=30, what="what fell due in years")
    timers, books = worker.timers, await entries(ledger)
    assert books == [
        ("2026-03-01", "issued", "available", 5),
        ("2026-03-02", "issued", "pending", 1800),
        ("2026-03-02", "pending", "available", 1800),  # of the midnight that ends 17 March, 15 days after it was paid
        ("2026-03-18", "issued", "available", 100),  # the first purchase, of that instant
        ("2027-03-01", "available", "expired", 5),
        ("2027-03-02", "available", "expired", 1900),
    ]
    ledger.now = present
    async with worker.sweeping():
        assert isinstance(await sign_in(), Outcome)
        ledger.now = ahead
        assert isinstance(await sign_in(), Outcome)
    async with ledger.pool.acquire() as connection:
        nows = [row["now"] for row in await connection.fetch("SELECT now FROM journal ORDER BY version")]
    assert nows == sorted(nows), "an account's own clock never goes back"
    assert (await entries(ledger))[: len(books)] == books
    assert worker.timers == timers
    await holds_together(ledger)


async def test_records_of_months_long_past_are_booked_as_soon_as_there_are_partitions_for_them(
    ledger: LedgerUnderTest,
) -> None:
    worker, shard = Worker(ledger), shard_of("anna", ledger.settings.shards)
    await ledger.tamper("INSERT INTO consumer_offset (shard, topic, next_offset) VALUES ($1, $2, 0)", shard, TOPIC)
    appended = parse_rfc3339("2024-05-02T10:00:00+08:00")
    records = [
        member_input("anna", SignedIn("/shop/backend", f"sign-in-{days}", later(appended, -days * DAY)), appended)
        for days in (350, 0)
    ]

    async def is_booked() -> bool:
        try:
            outcomes = await worker.executor.run(shard, records, fence=Fence([TOPIC], [0], [2]))
        except DatabaseUnavailable:
            return False  # to be tried again: no record is to blame
        return all(isinstance(outcome, Outcome) for outcome in outcomes)

    assert not await is_booked()
    async with worker.sweeping():
        await eventually(is_booked, what="the partitions of 2023 and 2024")
    assert [row[0] for row in await entries(ledger) if row[2] == "available"] == ["2023-05-18", "2024-05-02"]
    await holds_together(ledger)


async def entries(ledger: LedgerUnderTest) -> list[tuple[str, str, str, int]]:
    """(day, debit, credit, points) of each entry, as booked."""
    async with ledger.pool.acquire() as connection:
        rows = await connection.fetch("SELECT day, debit, credit, points FROM entry ORDER BY version, line")
    return [(date.fromordinal(row["day"]).isoformat(), row["debit"], row["credit"], row["points"]) for row in rows]
