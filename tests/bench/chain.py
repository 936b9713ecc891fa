"""What is measured with all three services running: `whole_chain`, and on what it leaves, latency and reads."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from tests.bench.drain import Drain, drain
from tests.bench.latency import publish_to_readable
from tests.bench.orders import MEMORY_BAR_MIB, WITH_RELAY_BAR, YARDSTICK
from tests.bench.reads import balance_reads
from tests.bench.report import Figure
from tests.bench.run import Run
from tests.bench.system import SERVICES, Database, Service

BAR = WITH_RELAY_BAR / 3
ALL = ("whole_chain", "publish_to_readable", "balance_reads")


def chain(run: Run, wanted: Collection[str]) -> list[Figure]:
    """Rounds of: the whole chain, plain SQL; before the last chain ends, what else is wanted of a running system."""
    drains: list[Drain] = []
    raw: list[float] = []
    others: list[Figure] = []
    rounds = run.rounds if "whole_chain" in wanted else 1
    for number in range(1, rounds + 1):
        with _running(run) as (database, services, drained):
            drains.append(drained)
            if number == rounds and "publish_to_readable" in wanted:
                others += publish_to_readable(run, services, drained.events_per_second)
            if number == rounds and "balance_reads" in wanted:
                others += balance_reads(run, database, services[0])
        if "whole_chain" in wanted:
            raw.append(run.raw_sql().events_per_second)
    if "whole_chain" not in wanted:
        return others
    figure = Figure.beside(
        "whole_chain",
        [drained.settled_per_second for drained in drains],
        "events/s",
        yardstick=YARDSTICK,
        yardstick_samples=raw,
        least=BAR,
    )
    return [figure, *others, *_costs(drains)]


@contextmanager
def _running(run: Run) -> Iterator[tuple[Database, list[Service], Drain]]:
    """All services on a fresh state, the backlog drained and settled. At the end the invariants are checked."""
    system = run.system
    asyncio.run(system.forget_facts())
    with system.database("chain") as database:
        with (
            system.service("tiering", database) as tiering,
            system.service("notifier", database) as notifier,
        ):
            tiering.ready()
            notifier.ready()
            with system.service("ledger", database) as ledger:
                services = [ledger, tiering, notifier]
                drained = asyncio.run(drain(system, database, services, run.events, relay=True, settle=True))
                run.say(
                    f"whole chain: {drained.settled_per_second:,.0f} events a second until tiers and inboxes had "
                    f"settled ({drained.events_per_second:,.0f} in the ledger, {drained.batch:,.0f} a transaction)"
                )
                yield database, services, drained
        system.verify(database, SERVICES)
        run.say("the invariants of all three services hold")


def _costs(drains: list[Drain]) -> list[Figure]:
    figures = [
        Figure.of(
            f"{family}_cpu_an_event_in_chain",
            [1e6 * drained.usage.cpu_seconds[family] / drained.used_by for drained in drains],
            "µs",
        )
        for family in (*SERVICES, "postgres", "kafka")
    ]
    figures.append(Figure.of("events_a_transaction_in_chain", [drained.batch for drained in drains], "events"))
    for service in SERVICES:
        peak = max(drained.peaks[service] for drained in drains) / 2**20
        figures.append(Figure.below(f"memory_of_{service}_in_chain", peak, "MiB", MEMORY_BAR_MIB))
    return figures
