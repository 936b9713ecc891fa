"""`redemptions`: points spent over HTTP, beside pgbench's TPC-B on the same server.

Some members get a very large order each; then clients redeem a few points of theirs, each under a reference and an
idempotency key of its own: one client at a time a connection, of all members alike (uniform) or all of one (hot). TPC-B
is the closest thing that everybody knows: one durable transaction of a few rows a client.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson
import uvloop
from rich.console import Console

from deploy.shop.events import Event, cloud_event
from deploy.shop.publisher import publish
from services.kit.calendar import MICROS_PER_SECOND, later
from services.kit.clock import now
from tests.bench.http_load import Load, Storm, load, post
from tests.bench.report import Figure, number
from tests.bench.run import Run
from tests.bench.system import BrokenError, Database

BAR: Final = 0.6
HALF_LOAD_BAR: Final = 3.0
DRAINING_BAR: Final = 6.0
CLIENTS: Final = (32, 256)
SECONDS: Final = 6.0
SCALE: Final = 32
"""Of TPC-B: as many branches as clients, so that it is not its own bottleneck."""
MEMBERS: Final = 2_000
HOT: Final = "hot"
BACKLOG: Final = 60_000
"""Events that wait, and more, where commands come in meanwhile."""
POINTS: Final = 100
"""Of one redemption: the least that the default program lets anybody spend."""
_AMOUNT: Final = "100000000"
_BOOKED_WITHIN_S: Final = 120.0
_TPS: Final = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_AVAILABLE: Final = "SELECT count(*) FROM ledger.account WHERE available > 1000000"
_SOURCE: Final = "/shop/bench"


def redemptions(run: Run) -> list[Figure]:
    """Rounds of: uniform and hot with 32 and 256 clients, TPC-B; then at half the load, and while a backlog drains."""
    rates: dict[str, list[float]] = {f"{kind}_{clients}": [] for kind in ("uniform", "hot") for clients in CLIENTS}
    loads: dict[str, Load] = {}
    plain: list[float] = []
    with _databases(run) as (database, tpcb):
        with run.system.service("ledger", database) as ledger:
            ledger.ready()
            uvloop.run(_fortunate(database))
            for _ in range(run.rounds):
                for clients in CLIENTS:
                    for kind, members in (("uniform", _names()), ("hot", [HOT])):
                        measured = load(ledger.url, Storm(redeem(run, members), clients, SECONDS, status=201))
                        rates[f"{kind}_{clients}"].append(measured.per_second)
                        loads[f"{kind}_{clients}"] = measured
                        run.say(_said(f"redemptions, {kind}, {clients} clients", measured))
                plain.append(_tps(run.system.pgbench(tpcb, "-n", "-c32", "-j2", f"-T{SECONDS:.0f}")))
                run.say(f"pgbench TPC-B, 32 clients: {plain[-1]:,.0f} transactions a second")
            half = min(rates["uniform_32"]) / 2
            measured = load(ledger.url, Storm(redeem(run, _names()), 32, SECONDS, status=201, rate=half))
            run.say(_said(f"redemptions at {half:,.0f} a second", measured))
            theirs = _p99_at(run, tpcb, min(plain) / 2)
            run.say(f"pgbench TPC-B at {min(plain) / 2:,.0f} a second: p99 {number(theirs)} ms")
        draining = _while_draining(run, database, half)
    figures = [
        Figure.beside(
            "redemptions_uniform"
            if key == "uniform_32"
            else "redemptions_hot"
            if key == "hot_32"
            else f"redemptions_{key}",
            samples,
            "commands/s",
            yardstick="TPC-B",
            yardstick_samples=plain,
            least=BAR if key == "uniform_32" else None,
        )
        for key, samples in rates.items()
    ]
    figures.append(_slower("redemptions_p99_half_load", measured.percentile(0.99), theirs, HALF_LOAD_BAR))
    for key, each in loads.items():
        figures.append(Figure.of(f"redemptions_{key}_p50", [each.percentile(0.50)], "ms"))
        figures.append(Figure.of(f"redemptions_{key}_p99", [each.percentile(0.99)], "ms"))
    figures.append(_slower("redemptions_p99_draining", draining.percentile(0.99), theirs, DRAINING_BAR))
    return figures


def _slower(name: str, ours: float, theirs: float, most: float) -> Figure:
    ratio = ours / theirs
    return Figure(name, ours, "ms", [ours], "TPC-B at half load", theirs, ratio, f"ratio ≤ {most:.0f}", ratio <= most)


def _said(what: str, measured: Load) -> str:
    return (
        f"{what}: {measured.per_second:,.0f} a second, p50 {number(measured.percentile(0.50))} ms, p99 "
        f"{number(measured.percentile(0.99))} ms (the client was busy for {measured.client_busy:.0%} of a processor)"
    )


def _names() -> list[str]:
    return [f"spender-{n}" for n in range(MEMBERS)]


def strangers() -> list[str]:
    """Members who have no points."""
    return [f"stranger-{n}" for n in range(MEMBERS)]


def redeem(run: Run, members: list[str]) -> Callable[[], bytes]:
    """Makes requests: some points of a member at random, never twice the same."""
    token = run.system.signer.token()
    count = itertools.count()

    def request() -> bytes:
        name = f"{random.getrandbits(64):x}-{next(count)}"
        body = orjson.dumps({"points": POINTS, "reference": name})
        return post(f"/v1/members/{random.choice(members)}/redemptions", token, name, body)

    return request


@contextmanager
def _databases(run: Run) -> Iterator[tuple[Database, Database]]:
    """A database for a ledger whose spenders will have points, and one of TPC-B beside it.

    At the end the invariants are checked.
    """
    system = run.system
    _publish(run, _fortunes())
    with system.database("tpcb") as tpcb, system.database("spending") as database:
        system.pgbench(tpcb, "-q", "-i", "-I", "dtGvp", f"-s{SCALE}")
        yield database, tpcb
        system.verify(database)
        run.say("the invariants hold")


def _while_draining(run: Run, database: Database, rate: float) -> Load:
    """Commands at a rate on a ledger that was stopped, and started again on a new backlog of other members' orders.

    Raises BrokenError if the backlog was booked before the commands ended.
    """
    backlog = _backlog(run)
    _publish(run, backlog)
    before = _booked(run, database)
    with run.system.service("ledger", database) as ledger:
        ledger.ready()
        measured = load(ledger.url, Storm(redeem(run, _names()), 32, SECONDS / 2, status=201, rate=rate))
        booked = _booked(run, database) - before
    run.say(_said(f"redemptions while {booked:,} events of a backlog were booked", measured))
    if booked >= len(backlog):
        raise BrokenError(f"a backlog of {booked:,} events was booked before the commands had ended")
    return measured


def _booked(run: Run, database: Database) -> int:
    return int(run.system.postgres.psql("SELECT sum(next_offset) FROM ledger.consumer_offset", database.name))


def _publish(run: Run, events: Sequence[Event]) -> None:
    asyncio.run(publish(events, bootstrap_servers=run.system.kafka.bootstrap, console=Console(quiet=True)))


def _backlog(run: Run) -> list[Event]:
    """The workload's events once more, as often as it takes, each time of members that nobody has heard of."""
    backlog: list[Event] = []
    for turn in itertools.count():
        if len(backlog) >= BACKLOG:
            return backlog
        for event in run.workload.events:
            document = orjson.loads(event.body)
            document["subject"] = member = f"{turn}-{event.member_id}"
            backlog.append(event._replace(member_id=member, body=orjson.dumps(document)))
    raise AssertionError


def _fortunes() -> list[Event]:
    started = later(now(), -86_400 * MICROS_PER_SECOND)
    events = []
    for member in [*_names(), HOT]:
        line = {"line_id": "1", "sku": "sku", "quantity": 1, "amount": _AMOUNT}
        order: dict[str, Any] = {"order_id": "fortune"}
        for step, data in (("paid", {"currency": "CNY", "lines": [line]}), ("completed", {})):
            events.append(
                cloud_event(
                    source=_SOURCE,
                    event_id=f"fortune:{step}",
                    event_type=f"commerce.order.{step}.v1",
                    member_id=member,
                    at=started,
                    data={**order, **data},
                )
            )
    return events


async def _fortunate(database: Database) -> None:
    connection = await asyncpg.connect(database.dsn())
    try:
        began = time.monotonic()
        while await connection.fetchval(_AVAILABLE) <= MEMBERS:
            if time.monotonic() - began > _BOOKED_WITHIN_S:
                raise BrokenError("the spenders' orders were not booked")
            await asyncio.sleep(0.2)
    finally:
        await connection.close()


def _tps(printed: str) -> float:
    found = _TPS.search(printed)
    if found is None:
        raise BrokenError(f"pgbench told no rate:\n{printed[-2000:]}")
    return float(found[1])


def _p99_at(run: Run, database: Database, rate: float) -> float:
    """Milliseconds, from when a transaction was due to when it was through."""
    with tempfile.TemporaryDirectory() as directory:
        prefix = Path(directory) / "log"
        run.system.pgbench(
            database, "-n", "-c32", "-j2", f"-T{SECONDS:.0f}", f"-R{rate:.0f}", "-l", f"--log-prefix={prefix}"
        )
        # client, transaction, microseconds, script, seconds, microseconds, lag
        took = sorted(
            int(line.split()[2]) for log in Path(directory).iterdir() for line in log.read_text().splitlines()
        )
    return took[int(len(took) * 0.99)] / 1000
