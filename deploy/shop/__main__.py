"""`python -m deploy.shop day | replay | publish | report | imitate`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import httpx
import orjson
from aiokafka.errors import KafkaError
from rich.console import Console

from deploy.shop.checkout import ExpectedPoints, Till
from deploy.shop.day import shop_day
from deploy.shop.environment import NotRunningError, Stack
from deploy.shop.events import Event, read_events
from deploy.shop.figures import journalled
from deploy.shop.imitation import write_imitation
from deploy.shop.online_retail import Shop, read_shop
from deploy.shop.publisher import Published, publish
from deploy.shop.replay import parts, replay
from deploy.shop.report import Report, show
from deploy.shop.settle import STALLED_AFTER_SECONDS, NotSettledError, Watch, settle
from services.kit.calendar import to_micros
from services.kit.money import exponent

# People read stderr; programs read stdout.
HUMAN = Console(stderr=True)

# What adds a command to the parser.
Add = Callable[..., argparse.ArgumentParser]

# Errors whose cause lies outside of this program end it with one sentence; any other is a defect and shows its
# traceback.
_EXPECTED = (
    NotRunningError,
    NotSettledError,
    KafkaError,
    asyncpg.PostgresError,
    httpx.HTTPError,
    OSError,
    ValueError,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when all went well and every invariant that was checked holds."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = asyncio.run(arguments.command(arguments))
        return code
    except KeyboardInterrupt:
        return 130
    except _EXPECTED as error:
        HUMAN.print(f"{type(error).__name__}: {error}", style="red", markup=False, highlight=False)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.shop", description="A shop to try the services with.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    day, retail = _add_day(commands.add_parser), _add_replay(commands.add_parser)
    for command in (day, retail):
        command.add_argument("--currency", default="CNY", help="the program's currency (CNY)")
        command.add_argument("--out", type=Path, help="write the events to a file instead, one JSON a line")
    _add_publish(commands.add_parser)
    for command in (day, retail, _add_report(commands.add_parser)):
        command.add_argument(
            "--stalled-after",
            type=float,
            default=STALLED_AFTER_SECONDS,
            metavar="SECONDS",
            help=f"give up when nothing is booked or sent for so long ({STALLED_AFTER_SECONDS:.0f})",
        )
    _add_imitate(commands.add_parser)
    return parser


def _add_day(add: Add) -> argparse.ArgumentParser:
    day = add("day", help="publish the events of a generated shop and show the results")
    day.set_defaults(command=_day)
    day.add_argument("--seed", type=int, default=1, help="another seed, another shop (1)")
    day.add_argument("--members", type=int, default=200, help="how many members it has (200)")
    day.add_argument("--date", type=date.fromisoformat, help="the day it ends with (today, in --zone)")
    day.add_argument("--zone", default="Asia/Shanghai", help="the program's time zone (Asia/Shanghai)")
    return day


def _add_replay(add: Add) -> argparse.ArgumentParser:
    retail = add("replay", help="publish a CSV in the Online Retail format; ends with a line of JSON")
    retail.set_defaults(command=_replay)
    retail.add_argument("--file", type=Path, required=True, help=".csv or .csv.gz")
    way = retail.add_mutually_exclusive_group()
    way.add_argument("--shuffle", type=int, metavar="SEED", help="publish in an order drawn from this seed")
    way.add_argument("--redeem", type=int, metavar="SEED", help="orders drawn from this seed pay in part with points")
    retail.add_argument(
        "--limit", type=int, metavar="N", help="only the first N lines; their dates, too, are moved to end last week"
    )
    retail.add_argument(
        "--as-of", type=datetime.fromisoformat, help="publish as if it were then (now); an ISO time with its offset"
    )
    return retail


def _add_publish(add: Add) -> None:
    from_file = add("publish", help="publish CloudEvents from a file, one JSON a line")
    from_file.set_defaults(command=_publish)
    from_file.add_argument("file", type=argparse.FileType("rb"), help="the file; - is standard input")


def _add_report(add: Add) -> argparse.ArgumentParser:
    report = add("report", help="wait until everything is booked and sent; show the results")
    report.set_defaults(command=_report)
    report.add_argument("--json", action="store_true", help="end with a line of JSON")
    return report


def _add_imitate(add: Add) -> None:
    imitate = add("imitate", help="write a CSV in the Online Retail format with a real shop's shapes")
    imitate.set_defaults(command=_imitate)
    imitate.add_argument("--out", type=Path, required=True, help=".csv or .csv.gz")
    imitate.add_argument("--seed", type=int, default=1)
    imitate.add_argument("--invoices", type=int, default=2_000)


async def _day(arguments: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    today = arguments.date or now.astimezone(ZoneInfo(arguments.zone)).date()
    events = shop_day(
        seed=arguments.seed,
        members=arguments.members,
        today=today,
        now=to_micros(now),
        currency=arguments.currency,
        zone=arguments.zone,
    )
    HUMAN.print(f"A shop of {arguments.members} members until {today}, seed {arguments.seed}.")
    if arguments.out:
        return _write(arguments.out, events)
    stack = Stack.find()
    before = await journalled(stack.database_url)
    await _send(stack, events)
    report, _ = await _settled(stack, arguments.stalled_after)
    _compare(before, report)
    show(report, stack, HUMAN)
    return 0 if report.holds else 1


async def _replay(arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    now = (arguments.as_of or datetime.now(UTC)).astimezone(UTC)
    shop = read_shop(arguments.file, decimals=exponent(arguments.currency), limit=arguments.limit)
    replayed = replay(shop, currency=arguments.currency, now=now, shuffle=arguments.shuffle)
    _account_for(shop)
    if replayed.left_to_due_time:
        HUMAN.print(f"{replayed.left_to_due_time:,} shipments and completions lie in the future and are not sent.")
    if arguments.out:
        if arguments.redeem is not None:
            raise ValueError("--redeem holds points of a running ledger, so its events cannot be written beforehand")
        return _write(arguments.out, replayed.events)
    stack = Stack.find()
    before = await journalled(stack.database_url)
    checkouts: Counter[str] = Counter()
    if arguments.redeem is None:
        published = await _send(stack, replayed.events)
    else:
        published, checkouts = await _send_with_points(stack, shop, arguments, now)
    report, settling_seconds = await _settled(stack, arguments.stalled_after)
    new_inputs = _compare(before, report)
    show(report, stack, HUMAN)
    summary: dict[str, Any] = {
        "file": arguments.file.name,
        "lines": shop.lines,
        "classes": {line_class.value: count for line_class, count in sorted(shop.classes.items())},
        "events": published.records,
        "not_sent_in_future": replayed.left_to_due_time,
        "new_inputs": new_inputs,
        "checkouts": dict(sorted(checkouts.items())),
        **report.as_json(),
        "seconds": {
            "publish": round(published.seconds, 2),
            "settle": round(settling_seconds, 2),
            "all": round(time.monotonic() - started, 2),
        },
        "ok": report.holds,
    }
    print(orjson.dumps(summary).decode())
    return 0 if report.holds else 1


async def _publish(arguments: argparse.Namespace) -> int:
    with arguments.file as file:
        events = list(read_events(file))
    await _send(Stack.find(), events)
    return 0


async def _report(arguments: argparse.Namespace) -> int:
    stack = Stack.find()
    report, _ = await _settled(stack, arguments.stalled_after)
    show(report, stack, HUMAN)
    if arguments.json:
        print(orjson.dumps({**report.as_json(), "ok": report.holds}).decode())
    return 0 if report.holds else 1


async def _imitate(arguments: argparse.Namespace) -> int:
    lines = write_imitation(arguments.out, seed=arguments.seed, invoices=arguments.invoices)
    HUMAN.print(f"{lines:,} lines written to {arguments.out}.")
    return 0


async def _send(stack: Stack, events: Sequence[Event]) -> Published:
    published = await publish(events, bootstrap_servers=stack.kafka_bootstrap_servers, console=HUMAN)
    rate = published.records / max(published.seconds, 1e-9)
    size_mb = published.size_bytes / 1e6
    HUMAN.print(
        f"{published.records:,} events ({size_mb:.1f} MB) published in {published.seconds:.1f} s: {rate:,.0f} a second."
    )
    return published


async def _send_with_points(
    stack: Stack, shop: Shop, arguments: argparse.Namespace, now: datetime
) -> tuple[Published, Counter[str]]:
    """Publish a file part by part and wait until each is booked: the next part can spend what its orders earned."""
    sent = Published(0, 0, 0.0)
    expected = ExpectedPoints(arguments.redeem, exponent(arguments.currency))
    async with (
        Till(stack.ledger_url, stack.token) as till,
        Watch(stack.database_url, stack.kafka_bootstrap_servers) as watch,
    ):
        for part in parts(shop):
            used = await till.hold(expected.checkouts(part))
            replayed = replay(part, currency=arguments.currency, now=now, used=used)
            sent = sent.plus(await _send(stack, replayed.events))
            await settle(watch.look, console=HUMAN, stalled_after_s=arguments.stalled_after)
    for what, count in sorted(till.answers.items()):
        HUMAN.print(f"{count:>12,}  checkouts: {what.replace('_', ' ').replace('-', ' ')}")
    return sent, till.answers


async def _settled(stack: Stack, stalled_after_s: float) -> tuple[Report, float]:
    """Wait until everything is booked and sent; the report, and the seconds that it took."""
    async with Watch(stack.database_url, stack.kafka_bootstrap_servers) as watch:
        seconds = await settle(watch.look, console=HUMAN, stalled_after_s=stalled_after_s)
    HUMAN.print(f"All booked and settled {seconds:.1f} s later.")
    return await Report.of(stack), seconds


def _compare(before: int, report: Report) -> int:
    """How many inputs were journalled since there were `before`; prints a sentence if there are none."""
    new_inputs = sum(report.figures.inputs.values()) - before
    if not new_inputs:
        HUMAN.print("All events were known already: nothing has changed.")
    return new_inputs


def _account_for(shop: Shop) -> None:
    for line_class, count in sorted(shop.classes.items()):
        HUMAN.print(f"{count:>12,}  {line_class}")
    HUMAN.print(f"{shop.lines:>12,}  lines, each in one class")


def _write(path: Path, events: Sequence[Event]) -> int:
    with path.open("wb") as file:
        file.writelines(event.body + b"\n" for event in events)
    HUMAN.print(f"{len(events):,} events written to {path}.")
    return 0


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main())
