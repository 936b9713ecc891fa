"""`python -m tests.simulation`: many worlds in memory, side by side; `--postgres`: one on a real server."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import structlog

from deploy.local import postgres as postgres_server
from tests.simulation.inmemory import Played, play
from tests.simulation.onpostgres import crash

INPUTS = 1_000_000
INPUTS_OF_A_WORLD = 2_500
CRASH_INPUTS, CRASH_RATE = 3_000, 0.08
"""Some thousand crashes."""


def main() -> int:
    """Play, print what happened, and what does not hold; 0 if all holds."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", default=str(random.randrange(10**6)), help="plays the same again (drawn)")
    parser.add_argument("--inputs", type=int, help=f"about so many ({INPUTS:,}; --postgres: {CRASH_INPUTS:,})")
    parser.add_argument("--world", type=int, help="only the world of this number, as a run of all has named it")
    parser.add_argument("--processes", type=int, default=2, help="worlds played at the same time (2)")
    parser.add_argument("--postgres", action="store_true", help="one world, on a PostgreSQL of its own")
    arguments = parser.parse_args()
    # A world has its crashes by the hundred; the log would say so each time.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print(f"seed {arguments.seed}", flush=True)
    if arguments.postgres:
        return _crash(arguments.seed, arguments.inputs or CRASH_INPUTS)
    count = -(-(arguments.inputs or INPUTS) // INPUTS_OF_A_WORLD)
    numbers = range(count) if arguments.world is None else [arguments.world]
    return _simulate([f"{arguments.seed}:{number}" for number in numbers], arguments.processes)


def _simulate(seeds: list[str], processes: int) -> int:
    began = time.monotonic()
    inputs = deaths = failed = 0
    faults: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    with ProcessPoolExecutor(processes, initializer=_quiet) as pool:
        for number, world in enumerate(pool.map(partial(play, inputs=INPUTS_OF_A_WORLD), seeds), 1):
            inputs, deaths, failed = inputs + world.inputs, deaths + world.deaths, failed + bool(world.broken)
            faults += world.faults
            outcomes += world.outcomes
            _complain(world)
            if number % 20 == 0:
                print(f"{number:>6} worlds, {inputs:>9,} inputs, {time.monotonic() - began:5.0f} s", flush=True)
    seconds = time.monotonic() - began
    print(f"{len(seeds)} worlds: {inputs:,} inputs in {seconds:.0f} s; journalled: {_named(outcomes)}")
    print(f"{faults.total():,} faults at store calls, {deaths:,} of them ended the worker ({_named(_by_kind(faults))})")
    print("all of it holds" if not failed else f"{failed} worlds are broken")
    return 1 if failed else 0


def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _complain(world: Played) -> None:
    if world.broken:
        seed, _, number = world.seed.rpartition(":")
        print(f"BROKEN: --seed {seed} --world {number}", *world.broken[:5], sep="\n    ", flush=True)


def _by_kind(faults: Counter[str]) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for name, count in faults.items():
        kinds[name.rpartition(" ")[0].removesuffix(" copy")] += count
    return kinds


def _named(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.most_common())


def _crash(seed: str, inputs: int) -> int:
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="points-ledger-simulation-"))
    directory.chmod(0o711)
    server = postgres_server.start(directory / "postgres", log=directory / "log", durable=False, die_with_parent=True)
    try:
        crashed = asyncio.run(crash(server.dsn(), seed, inputs=inputs, rate=CRASH_RATE))
    finally:
        postgres_server.stop(server)
        shutil.rmtree(directory, ignore_errors=True)
    print(f"{crashed.crashes:,} faults, {crashed.deaths:,} of them ended the worker ({_named(crashed.faults)})")
    print(f"{crashed.summary['journal']:,} inputs journalled, {time.monotonic() - began:.0f} s")
    print(*(crashed.broken or ["all of it holds"]), sep="\n")
    return 1 if crashed.broken else 0


if __name__ == "__main__":
    sys.exit(main())
