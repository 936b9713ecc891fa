"""Worlds in memory: each a program, members and faults drawn from its seed."""

from __future__ import annotations

import random
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import orjson

from services.ledger.events.internal import INTERNAL
from tests.simulation.faults import Faults
from tests.simulation.loop import TimelessLoop
from tests.simulation.memory import Pool
from tests.simulation.post import Sealed
from tests.simulation.programs import draw_program
from tests.simulation.tables import Database
from tests.simulation.traffic import traffic
from tests.simulation.verdict import broken
from tests.simulation.world import TOPICS, AnyPool, World

_RATES = (0.0, 0.002, 0.01, 0.05)
_TIMEOUT_SECONDS = 0.02


@dataclass
class Played:
    """What became of a world."""

    seed: str
    inputs: int = 0
    """Events and commands, also those that were known already."""
    journalled: int = 0
    deaths: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)


def play(seed: str, *, inputs: int, rate: float | None = None) -> Played:
    """Play one world; `rate` is of faults a store call, drawn if not given."""
    began, rng = time.monotonic(), random.Random(seed)
    drawn = rng.choice(_RATES)
    faults = Faults(seed, drawn if rate is None else rate)
    shards = rng.choice((1, 2, 4))
    database = Database([orjson.dumps(draw_program(rng), option=orjson.OPT_NON_STR_KEYS).decode()])
    database.offsets = {(shard, topic): 0 for shard in range(shards) for topic in TOPICS}
    steps = traffic(seed, members=rng.choice((3, 20, 60)), steps=inputs)

    async def open_store(killed: Any) -> AnyPool:
        return Pool(database, faults, killed)

    collected = 0

    async def collect() -> list[Sealed]:
        nonlocal collected
        rows, collected = database.outbox[collected:], len(database.outbox)
        return [Sealed(shard, key, value) for shard, topic, key, value, _ in rows if topic == INTERNAL]

    world = World(seed, steps, open_store, collect, shards=shards, patience_seconds=_TIMEOUT_SECONDS)
    loop = TimelessLoop()
    played = Played(seed)
    # What waits by chance or by the clock waits by the seed and by the loop: a world is played again as it was.
    random.seed(seed)
    clock = SimpleNamespace(monotonic=loop.time, perf_counter=loop.time)
    try:
        with patch("services.kit.executor.time", clock), patch("services.kit.turn.time", clock):
            loop.run_until_complete(world.play())
        played.broken = list(broken(world, database))
    except Exception as error:
        played.broken = [f"{type(error).__name__}: {error}", *traceback.format_exception(error)[-3:]]
    finally:
        loop.close()
    played.inputs, played.journalled = len(steps), len(database.journal)
    played.deaths, played.counts = world.deaths, world.counts
    played.faults.update({f"{fault} {call}": count for (call, fault), count in faults.made.items()})
    played.outcomes.update(row[7] for row in database.journal.values())
    played.seconds = time.monotonic() - began
    return played
