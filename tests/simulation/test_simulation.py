"""A few small worlds of each kind, as the test ring can afford; `make simulate` plays as many as you like."""

from __future__ import annotations

import asyncio
import os
import random

from tests.conftest import MakeDatabase
from tests.simulation.inmemory import play
from tests.simulation.onpostgres import crash

SEED = 1 if os.environ.get("CI") else random.randrange(10**6)


def test_O1_O7_worlds_with_crashes_between_any_two_store_calls_end_as_if_there_were_none() -> None:
    worlds = [play(f"{SEED}:{number}", inputs=700) for number in range(8)]
    worlds.append(play(f"{SEED}:8", inputs=700, rate=0.05))
    for world in worlds:
        assert not world.broken, (world.seed, world.broken[:3])
    assert worlds[-1].deaths > 3
    assert worlds[-1].faults.total() > 10
    assert sum(world.counts["messages"] for world in worlds) > 100, "accounts send each other messages"
    assert sum(world.counts["quotes"] for world in worlds) > 10


def test_a_world_is_played_again_as_it_was() -> None:
    first, again = (play(f"{SEED}:again", inputs=300, rate=0.03) for _ in range(2))
    first.seconds = again.seconds = 0.0
    assert first == again


def test_crashes_at_hundreds_of_points_of_real_transactions_lose_nothing_and_book_nothing_twice(
    make_database: MakeDatabase,
) -> None:
    loop = asyncio.new_event_loop()
    try:
        crashed = loop.run_until_complete(crash(make_database(), f"{SEED}", inputs=800, rate=0.08))
    finally:
        loop.close()
    assert not crashed.broken, (crashed.seed, crashed.broken[:3])
    assert crashed.summary["ok"]
    assert crashed.crashes > 200
    assert crashed.deaths > 50
