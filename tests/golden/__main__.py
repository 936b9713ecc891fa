"""`python -m tests.golden compare | record [--replay FILE]`, and `draw`."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

import structlog

from tests.golden import drawn, replay
from tests.golden.histories import HISTORIES, write

_BUILD = Path("build")


def main() -> int:
    """Record or compare, and say what; 1 if there is a difference."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    for name, what in (
        ("compare", "play again and compare with what was recorded; 1 at the first difference"),
        ("record", "keep what comes of the histories now"),
    ):
        command = commands.add_parser(name, help=what)
        command.add_argument("--replay", type=Path, metavar="FILE", help="also a file in the Online Retail CSV format")
        command.add_argument(
            "--out", type=Path, default=_BUILD / "golden-replay.json.gz", help="the replay's recording"
        )
        command.add_argument("--journal", type=Path, default=_BUILD / "golden-20000.json.gz", help="its first rows")
    commands.choices["record"].add_argument("--limit", type=int, metavar="N", help="only the first N lines of FILE")
    commands.add_parser("draw", help="draw other histories, then record them")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if arguments.command == "draw":
        from tests.golden.drawing import draw

        write(draw())
        print(f"drawn: {HISTORIES.name}")
        return _drawn(is_recorded=True)
    is_recorded = arguments.command == "record"
    failed = _drawn(is_recorded=is_recorded)
    if arguments.replay is not None:
        failed |= _replayed(arguments, is_recorded=is_recorded)
    return failed


def _drawn(*, is_recorded: bool) -> int:
    began = time.monotonic()
    done = drawn.record() if is_recorded else drawn.compare()
    print(
        f"drawn: {'recorded' if is_recorded else 'compared'} {done.histories:,} histories, {done.inputs:,} inputs, "
        f"{done.rows:,} rows ({done.whole:,} of them whole), {done.entries:,} entries "
        f"in {time.monotonic() - began:.0f} s"
    )
    return _complain(done.difference)


def _replayed(arguments: argparse.Namespace, *, is_recorded: bool) -> int:
    began = time.monotonic()
    where = (arguments.replay, arguments.out, arguments.journal)
    done = replay.record(*where, limit=arguments.limit) if is_recorded else replay.compare(*where)
    print(
        f"replay: {'recorded' if is_recorded else 'compared'} {done.members:,} members, {done.rows:,} rows, "
        f"{done.entries:,} entries in {time.monotonic() - began:.0f} s"
    )
    print(*(f"{count:>12,}  {what}" for what, count in done.counts.items()), sep="\n")
    print(f"SHA-256 of all rows: {done.hash}")
    return _complain(done.difference)


def _complain(difference: str | None) -> int:
    if difference is None:
        return 0
    print(f"DIFFERENCE: {difference}")
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
