"""Where the ledger's time goes: its write path in this one process, over prepared batches and the real PostgreSQL.

Twice over the same events, each on a fresh database: once with a clock at each step and statement, once under
cProfile. The clock's figures are true to a few per cent; the profile's are not (it makes every call dearer), it says
which functions to look at.
"""

from __future__ import annotations

import cProfile
import io
import pstats
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import uvloop
from rich.console import Console
from rich.table import Table

from schemas.topics import SHARDS
from services.kit.kafka import Record, Shard
from services.ledger import executor, member_work, store, writes
from services.ledger.consumer import Decoder
from services.ledger.executor import Ledger
from tests.bench import booking
from tests.bench.booking import Cost, Tap
from tests.bench.run import DIRECTORY
from tests.bench.system import Database, system
from tests.bench.tier_facts import tier_records
from tests.bench.workload import Workload

FUNCTIONS: Final = 45
"""Lines of the profile."""
_STEPS: Final = (
    # Where the name is looked up, the name, what to call it. Synchronous steps are processor alone.
    (member_work, "fold_member", "fold"),
    (executor, "render_facts", "render facts"),
    (writes, "append", "append outbox"),
    (store, "lock_accounts", "lock accounts"),
    (store, "journalled", "read journal (dedupe)"),
    (store, "load", "read what the fold needs"),
    (executor, "write", "write"),
)


def profile(workload: Workload, out: Console, human: Console, *, tiers: bool = False) -> None:
    """Print the two views of booking the order events, or with `tiers` the tier facts that follow from them."""
    with system(DIRECTORY / "profile", lambda what: human.print(f"[dim]{what}[/]"), broker=False) as servers:
        with servers.database("clocked") as database:
            records = uvloop.run(_prepared(database, workload, tiers=tiers))
            clocked = uvloop.run(_clocked(database, records))
            servers.verify(database)
        _show_steps(clocked, sum(map(len, records.values())), out)
        with servers.database("profiled") as database:
            records = uvloop.run(_prepared(database, workload, tiers=tiers))
            uvloop.run(_profiled(database, records, out))


async def _prepared(database: Database, workload: Workload, *, tiers: bool) -> Mapping[Shard, Sequence[Record]]:
    """The records to book: the order events, or the tier facts after the order events were booked."""
    records = workload.records(SHARDS)
    if not tiers:
        return records
    await _clocked(database, records)
    return await tier_records(database)


class Clocked:
    """Costs by step and by statement."""

    def __init__(self) -> None:
        self.steps: dict[str, Cost] = defaultdict(Cost)
        self.statements: Mapping[str, Cost] = {}
        self.batches = 0

    def wrap(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function with a clock around it, whether it is awaited or not."""
        cost = self.steps[step]

        def timed(*arguments: Any, **options: Any) -> Any:
            began, cpu_began = time.perf_counter(), time.process_time()
            answer = None
            try:
                answer = function(*arguments, **options)
            finally:
                if not hasattr(answer, "__await__"):
                    cost.add(time.perf_counter() - began, time.process_time() - cpu_began)
            if not hasattr(answer, "__await__"):
                return answer

            async def rest() -> Any:
                try:
                    return await answer
                finally:
                    cost.add(time.perf_counter() - began, time.process_time() - cpu_began)

            return rest()

        return timed

    def correct(self) -> None:
        """Take out what the clocks themselves took."""
        empty = Clocked()
        nothing = empty.wrap("nothing", lambda: None)
        began = time.process_time()
        for _ in range(10_000):
            nothing()
        a_call = (time.process_time() - began) / 10_000
        for cost in self.steps.values():
            cost.seconds -= cost.calls * a_call
            cost.cpu_seconds -= cost.calls * a_call

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Clocks around the steps, as long as it lasts. A step that has another name by now is left out."""
        before = [(module, name, getattr(module, name, None), step) for module, name, step in _STEPS]
        for module, name, function, step in before:
            if function is not None:
                setattr(module, name, self.wrap(step, function))
        try:
            yield
        finally:
            for module, name, function, _ in before:
                if function is not None:
                    setattr(module, name, function)


async def _clocked(database: Database, records: Mapping[Shard, Sequence[Record]]) -> Clocked:
    clocked = Clocked()
    async with booking.ledger_pool(database) as pool, pool.acquire() as connection:
        ledger = Ledger()
        await ledger.programs.read(connection)
        decode = Decoder(ledger, SHARDS)
        tap = Tap(connection)
        whole = clocked.wrap("all", booking.book)
        with clocked.installed():
            for shard, batch in booking.batches_of(records):
                await whole(tap, ledger, decode, shard, batch)
                clocked.batches += 1
    clocked.steps[booking.DECODE] = tap.costs.pop(booking.DECODE)
    clocked.statements = tap.costs
    clocked.correct()
    return clocked


async def _profiled(database: Database, records: Mapping[Shard, Sequence[Record]], out: Console) -> None:
    async with booking.ledger_pool(database) as pool, pool.acquire() as connection:
        ledger = Ledger()
        await ledger.programs.read(connection)
        decode = Decoder(ledger, SHARDS)
        tap = Tap(connection)
        profiler = cProfile.Profile()
        profiler.enable()
        for shard, batch in booking.batches_of(records):
            await booking.book(tap, ledger, decode, shard, batch)
        profiler.disable()
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(FUNCTIONS)
    out.print("\nFunctions by their own time, under cProfile (waiting for the database is in none of them):")
    out.print("\n".join(text.getvalue().splitlines()[4:]), markup=False, soft_wrap=True)


def _show_steps(clocked: Clocked, events: int, out: Console) -> None:
    out.print(
        f"{events:,} events in {clocked.batches} batches, one process, one connection; microseconds an event. "
        "CPU is this process's; what is left of the time is the database's, or waiting for a processor."
    )
    for title, costs in (("Steps", clocked.steps), ("Statements", clocked.statements)):
        table = Table(title=title, title_justify="left")
        for column in ("", "calls", "time", "CPU"):
            table.add_column(column, justify="left" if not column else "right")
        for name, cost in sorted(costs.items(), key=lambda item: -item[1].seconds):
            micros = 1e6 / events
            table.add_row(name, f"{cost.calls:,}", f"{cost.seconds * micros:.1f}", f"{cost.cpu_seconds * micros:.1f}")
        out.print(table)
