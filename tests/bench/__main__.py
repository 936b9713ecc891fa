"""`python -m tests.bench`: measures, prints a table, writes build/bench.json. `… profile` says where the time goes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from rich.console import Console

from deploy.local.processes import StartError
from tests.bench import report, workload
from tests.bench.big_member import big_member
from tests.bench.chain import ALL as CHAIN
from tests.bench.chain import chain
from tests.bench.due import LOTS, QUICK_LOTS, due
from tests.bench.orders import order_events
from tests.bench.profile import profile
from tests.bench.report import Figure
from tests.bench.run import DIRECTORY, running
from tests.bench.spending import redemptions
from tests.bench.system import BrokenError
from tests.bench.writing import cost_at_10m, hot_member_events

OUTPUT = Path("build") / "bench.json"
ROUNDS = 3
WIDTH = 120
"""Columns of the table where no terminal says how many there are."""
QUICK_EVENTS = 12_000
PROFILE_EVENTS = 20_000

ALONE = ("big_member", "cost_at_10m")
"""Have a server of their own each."""
MEASUREMENTS = ("order_events", *CHAIN, "redemptions", "hot_member_events", "due", *ALONE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks; 0 if all was measured and every invariant held, whether or not the bars are met."""
    options = _parser().parse_args(arguments)
    human = Console(stderr=True, highlight=False)
    try:
        if options.command == "profile":
            events = options.events or PROFILE_EVENTS
            work = workload.prepare(DIRECTORY, events=events, file=options.file)
            profile(work, Console(highlight=False), human, tiers=options.tiers)
            return 0
        return _measure(options, human)
    except (BrokenError, StartError) as broken:
        human.print(str(broken), style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        return 130


def _measure(options: argparse.Namespace, human: Console) -> int:
    wanted = set(options.only or MEASUREMENTS)
    figures: list[Figure] = []
    if wanted - set(ALONE):
        figures += _on_servers(options, human, wanted)
    if "big_member" in wanted:
        figures += big_member(human, quick=options.quick)
    if "cost_at_10m" in wanted:
        figures += cost_at_10m(human, quick=options.quick)
    out = Console(highlight=False)
    report.show(figures, out if out.is_terminal else Console(highlight=False, width=WIDTH))
    report.write(figures, options.out)
    human.print(f"written to {options.out}")
    return 0


def _on_servers(options: argparse.Namespace, human: Console, wanted: Collection[str]) -> list[Figure]:
    """What shares the servers and the backlog."""
    events = options.events or (QUICK_EVENTS if options.quick else workload.DEFAULT_EVENTS)
    work = workload.prepare(DIRECTORY, events=events, file=options.file)
    figures: list[Figure] = []
    with running(work, rounds=options.rounds or (1 if options.quick else ROUNDS), console=human) as run:
        if "order_events" in wanted:
            figures += order_events(run)
        if set(wanted) & set(CHAIN):
            figures += chain(run, wanted)
        if "redemptions" in wanted:
            figures += redemptions(run)
        if "hot_member_events" in wanted:
            figures += hot_member_events(run)
        if "due" in wanted:
            figures += due(run, options.lots or (QUICK_LOTS if options.quick else LOTS))
    return figures


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["profile"], help="say where the ledger's time goes instead")
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="one measurement (may be repeated)")
    parser.add_argument("--events", type=int, help=f"order events of the backlog ({workload.DEFAULT_EVENTS:,})")
    parser.add_argument("--lots", type=int, help=f"due: lots that end on one day ({LOTS:,})")
    parser.add_argument("--file", type=Path, help="orders in the Online Retail CSV format instead of an imitation")
    parser.add_argument("--rounds", type=int, help=f"how often each is measured ({ROUNDS})")
    parser.add_argument("--quick", action="store_true", help=f"one round of {QUICK_EVENTS:,} events: does it all work?")
    parser.add_argument("--tiers", action="store_true", help="profile: of the tier facts that follow, not the orders")
    parser.add_argument("--out", type=Path, default=OUTPUT, help=f"where the figures go ({OUTPUT})")
    return parser


if __name__ == "__main__":
    sys.exit(main())
