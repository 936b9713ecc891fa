"""`publish_to_readable`: the time from publishing an event to a balance over HTTP that has it.

Order events of the replay's mix go out at a steady pace, a tenth of the top rate. Among them are probes: paid orders
of members to whom nothing else happens, so that the first balance with another version is the one that has the order.
Each probe's balance is asked for again and again, from the moment its event was handed to the producer.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import orjson
import uvloop
from aiokafka import AIOKafkaProducer

from deploy.shop.events import KAFKA_HEADERS, Event, cloud_event
from services.kit.calendar import MICROS_PER_SECOND, Micros, later
from services.kit.clock import now
from services.kit.kafka import LINGER_MS
from tests.bench.http_load import Client, connect, get
from tests.bench.report import Figure, number
from tests.bench.run import Run
from tests.bench.system import BrokenError, Service
from tests.bench.usage import families_of, family_cpu

P99_BAR_MS: Final = 300.0
SECONDS: Final = 40.0
PROBES_A_SECOND: Final = 25
"""Few, and asked for seldom: the asking takes processors from what is measured."""
SHARE_OF_TOP: Final = 0.1
_FULL_MIX_S: Final = 6.0
"""How long it takes until orders are shipped, completed and sent back at the rate at which they are paid."""
_REFUNDED: Final = 0.25
_POLL_S: Final = 0.02
_CONNECTIONS: Final = 24
_READABLE_WITHIN_S: Final = 30.0
_SOURCE: Final = "/shop/bench"


class Due(NamedTuple):
    """An event to publish so many seconds after the start."""

    at_s: float
    probe: bool
    event: Event


def publish_to_readable(run: Run, services: Sequence[Service], top_rate: float) -> list[Figure]:
    """p50 and p99 in milliseconds, over some 1,000 probes; `services` are those that run, the ledger first."""
    rate = max(top_rate * SHARE_OF_TOP, 2.0 * PROBES_A_SECOND)
    # A fork is started for nothing else here, so the loop is this process's own.
    seconds, behind, busy = uvloop.run(measure(run, services, rate))
    milliseconds = sorted(1000 * sample for sample in seconds)
    p50, p99 = (milliseconds[min(len(milliseconds) - 1, int(len(milliseconds) * q))] for q in (0.50, 0.99))
    run.say(
        f"published to readable at {rate:,.0f} events a second: p50 {number(p50)} ms, p99 {number(p99)} ms, "
        f"worst {number(milliseconds[-1])} ms of {len(milliseconds):,} (the publisher's own delay: {behind:.0f} ms at "
        "its worst)"
    )
    run.say("processors busy meanwhile: " + ", ".join(f"{name} {share:.2f}" for name, share in busy.items()))
    return [
        Figure.of("publish_to_readable_p50", [p50], "ms"),
        Figure.below("publish_to_readable_p99", p99, "ms", P99_BAR_MS),
        Figure.of("steady_rate", [rate], "events/s"),
        *(Figure.of(f"processors_busy_at_steady_rate_{name}", [share], "processors") for name, share in busy.items()),
    ]


async def measure(
    run: Run, services: Sequence[Service], rate: float, *, seconds: float = SECONDS
) -> tuple[list[float], float, dict[str, float]]:
    """The latencies and the publisher's own worst delay (s), and the processors that each family kept busy.

    The first of `services` is the ledger; the mix is full, and probed for so many seconds.
    """
    ledger = services[0]
    token = run.system.signer.token()
    members = run.workload.members
    random.Random(2).shuffle(members)
    wanted = min(int(PROBES_A_SECOND * seconds), len(members) // 2)
    probes, others = members[:wanted], members[wanted:]
    free: asyncio.Queue[Client] = asyncio.Queue()
    clients = [await connect(ledger.url) for _ in range(_CONNECTIONS)]
    for client in clients:
        free.put_nowait(client)
    versions = {probe: await _version(clients[0], get(f"/v1/members/{probe}/balance", token)) for probe in probes}
    producer = AIOKafkaProducer(
        bootstrap_servers=run.system.kafka.bootstrap,
        enable_idempotence=True,
        linger_ms=LINGER_MS,
        compression_type="lz4",
    )
    await producer.start()
    try:
        plan = sorted(_plan(run, probes, others, rate, start=later(now(), MICROS_PER_SECOND)))
        waiting: list[asyncio.Task[float]] = []
        families = families_of(run.system, services)
        used = {name: sum(family_cpu(process).values()) for name, process in families.items()}
        began = time.perf_counter()
        behind = 0.0
        for at_s, is_probe, event in plan:
            while (early := began + at_s - time.perf_counter()) > 0:  # noqa: ASYNC110  # until a time, not an event
                await asyncio.sleep(min(early, 0.002))
            sent = time.perf_counter()
            behind = max(behind, sent - began - at_s)
            await producer.send(event.topic, event.body, key=event.member_id.encode(), headers=KAFKA_HEADERS)
            if is_probe:
                request = get(f"/v1/members/{event.member_id}/balance", token)
                waiting.append(asyncio.create_task(_readable(free, request, versions[event.member_id], sent)))
        latencies = await asyncio.gather(*waiting)
        took = time.perf_counter() - began
        busy = {name: (sum(family_cpu(process).values()) - used[name]) / took for name, process in families.items()}
        await producer.flush()
    finally:
        await asyncio.wait_for(producer.stop(), 30)
        for client in clients:
            client.close()
    return latencies, 1000 * behind, busy


async def _readable(free: asyncio.Queue[Client], request: bytes, version: int, sent: float) -> float:
    """Seconds from `sent` until the balance has another version."""
    while time.perf_counter() < sent + _READABLE_WITHIN_S:
        client = await free.get()
        try:
            current = await _version(client, request)
        finally:
            free.put_nowait(client)
        if current > version:
            return time.perf_counter() - sent
        await asyncio.sleep(_POLL_S)
    raise BrokenError(f"an order was not in its member's balance {_READABLE_WITHIN_S:.0f} s after it was published")


async def _version(client: Client, request: bytes) -> int:
    status, body = await client.send(request)
    if status != 200:
        raise BrokenError(f"a balance answered {status}: {body[:200]!r}")
    version: int = orjson.loads(body)["version"]
    return version


def _plan(run: Run, probes: Sequence[str], others: Sequence[str], rate: float, *, start: Micros) -> Iterator[Due]:
    """The events: probes once the mix is full, and the others from the start."""
    rng = random.Random(3)
    carts = _carts(run)
    for number_, probe in enumerate(probes):
        at_s = _FULL_MIX_S + number_ / PROBES_A_SECOND
        yield Due(at_s, True, _event(start, at_s, probe, f"probe-{start}-{number_}", "paid", rng.choice(carts)))
    orders_a_second = (rate - PROBES_A_SECOND) / (3 + _REFUNDED)
    end_s = _FULL_MIX_S + len(probes) / PROBES_A_SECOND
    for number_ in itertools.count():
        paid_s = number_ / orders_a_second
        if paid_s > end_s:
            return
        member, order, cart = rng.choice(others), f"steady-{start}-{number_}", rng.choice(carts)
        first = cart["lines"][0]
        refund = {"refund_id": f"r-{number_}", "lines": [{"line_id": first["line_id"], "amount": first["amount"]}]}
        steps = [(0.0, "paid", cart), (2.0, "shipped", {}), (4.0, "completed", {})]
        if rng.random() < _REFUNDED:
            steps.append((5.0, "refunded", refund))
        for after_s, step, data in steps:
            if paid_s + after_s <= end_s:
                event = _event(start, paid_s + after_s, member, order, step, data)
                yield Due(paid_s + after_s, False, event)


def _carts(run: Run) -> list[dict[str, Any]]:
    """What orders of the backlog hold."""
    paid = (event for event in run.workload.events if b"commerce.order.paid.v1" in event.body)
    carts = [orjson.loads(event.body)["data"] for event in itertools.islice(paid, 2_000)]
    return [{"currency": cart["currency"], "lines": cart["lines"]} for cart in carts]


def _event(start: Micros, at_s: float, member: str, order: str, step: str, data: dict[str, Any]) -> Event:
    return cloud_event(
        source=_SOURCE,
        event_id=f"{order}:{step}",
        event_type=f"commerce.order.{step}.v1",
        member_id=member,
        at=later(start, int(at_s * MICROS_PER_SECOND)),
        data={"order_id": order, **data},
    )
