"""A shop's year through all services: it ends where the naive model says, in whatever order it arrives."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from deploy.local import stack as local_stack
from deploy.local.processes import free_port
from deploy.local.stack import SERVICES, Stack
from deploy.shop.imitation import write_imitation
from deploy.shop.online_retail import read_shop
from deploy.shop.outcome import Outcome, outcome
from deploy.shop.replay import replay
from services.kit import clock
from services.kit.calendar import later, parse_rfc3339
from services.kit.money import minor_units
from tests.conftest import REPOSITORY
from tests.model.events import MEMBER, Arrival
from tests.model.model import Model
from tests.model.program import DEFAULT

INVOICES = 120
SEED = 17
# The file's own moment: the week it ends in must not change while the test runs.
NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Running:
    """A stack of its own, under the default program without a limit to lateness."""

    addresses: Mapping[str, str]

    def shop(self, *arguments: str) -> str:
        """Run the shop's command to its good end; the last line of its output, if any."""
        done = subprocess.run(
            [sys.executable, "-m", "deploy.shop", *arguments],
            env=os.environ | self.addresses,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip().rpartition("\n")[2]

    def replay(self, file: Path, *more: str) -> dict[str, Any]:
        answer: dict[str, Any] = orjson.loads(
            self.shop("replay", "--file", str(file), "--as-of", NOW.isoformat(), *more)
        )
        return answer

    async def outcome(self) -> Outcome:
        return await outcome(self.addresses["DATABASE_URL"], self.addresses["KAFKA_BOOTSTRAP_SERVERS"])


@contextmanager
def running() -> Iterator[Running]:
    """Start everything in a directory of its own, and end it."""
    # Not pytest's tmp_path: that is closed to the system user that PostgreSQL runs as under root.
    directory = Path(tempfile.mkdtemp(prefix="points-ledger-shop-"))
    directory.chmod(0o711)
    program = (REPOSITORY / "deploy" / "program.yaml").read_text()
    assert program.count("max_lateness_days: 30") == 1
    (directory / "program.yaml").write_text(program.replace("max_lateness_days: 30", "max_lateness_days: none"))
    stack = Stack(directory / "stack", say=lambda _: None)
    (directory / "stack").mkdir(mode=0o711)
    # Not the ports that other stacks of this machine would take at the same moment.
    stack.state.ports.update({name: free_port() for name in ("postgres", "kafka", *SERVICES)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_stack, "PROGRAM", directory / "program.yaml")
        for variable in ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "MIGRATION_DATABASE_URL", "LOCAL_SERVERS"):
            patch.delenv(variable, raising=False)
        try:
            stack.start()
            yield Running(stack.environment)
        finally:
            stack.reset()
            shutil.rmtree(directory)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop's year."""
    path = tmp_path_factory.mktemp("shop") / "shop.csv.gz"
    write_imitation(path, seed=SEED, invoices=INVOICES)
    return path


@pytest.fixture(scope="module")
def in_order() -> Iterator[Running]:
    with running() as stack:
        yield stack


@pytest.fixture(scope="module")
def first_run(in_order: Running, file: Path) -> dict[str, Any]:
    """What a first replay in the order of business answers."""
    return in_order.replay(file)


def expected(file: Path) -> Outcome:
    """Where the naive model ends, member by member."""
    program = copy.deepcopy(DEFAULT)
    program["points"]["max_lateness_days"] = "none"
    by_member: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in replay(read_shop(file, decimals=2), currency="CNY", now=NOW).events:
        by_member[event.member_id].append(orjson.loads(event.body) | {"subject": MEMBER})  # the model's one member
    ended = Outcome({}, {}, {})
    for member_id, events in by_member.items():
        now = clock.now()
        result = Model(program).play(Arrival(event, later(now, n)) for n, event in enumerate(events))
        ended.net[member_id] = result.net + result.expired - result.forgiven
        for order_id, order in result.orders.items():
            if order.timeline:
                ended.timelines[f"{member_id}  {order_id}"] = list(order.timeline)
        if result.tiers:
            ended.tiers[member_id] = list(result.tiers)
    return ended


def as_the_model_says(ended: Outcome) -> Outcome:
    """The same in the model's words: instants in microseconds, minor units, no causes, no `none`."""
    return Outcome(
        ended.net,
        {
            order: [
                (parse_rfc3339(entry["at"]), minor_units(entry["amount"], 2), entry["orders"]) for entry in timeline
            ]
            for order, timeline in ended.timelines.items()
            if timeline
        },
        {
            member_id: [
                (parse_rfc3339(step["effective_at"]), step["tier"]) for step in history if step["tier"] != "none"
            ]
            for member_id, history in ended.tiers.items()
        },
    )


def unchanging(answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer without what tells one run from another."""
    kept = {name: value for name, value in answer.items() if name not in {"seconds", "new_inputs", "invariants"}}
    return kept | {"holds": [verdict["holds"] for verdict in answer["invariants"].values()]}


def test_every_line_of_the_file_is_accounted_for(first_run: dict[str, Any], file: Path) -> None:
    shop = read_shop(file, decimals=2)
    assert sum(first_run["classes"].values()) == first_run["lines"] == shop.lines
    assert first_run["orders"] == len(shop.invoices)
    assert first_run["parked_refunds"] == sum(refund.order is None for refund in shop.refunds)
    assert first_run["members"] == len(
        {invoice.customer for invoice in shop.invoices} | {refund.customer for refund in shop.refunds}
    )
    assert first_run["dead_letters"] == {}


def test_the_invariants_are_checked_and_hold(first_run: dict[str, Any]) -> None:
    assert first_run["ok"]
    assert first_run["reconciles"]
    assert {service for service, verdict in first_run["invariants"].items() if verdict["holds"]} == {
        "ledger",
        "tiering",
        "notifier",
    }


async def test_O6_it_ends_where_the_naive_model_says(in_order: Running, first_run: dict[str, Any], file: Path) -> None:
    ended, model = as_the_model_says(await in_order.outcome()), expected(file)
    assert ended.net == model.net
    assert ended.timelines == model.timelines
    assert ended.tiers == model.tiers


def test_O1_running_it_again_changes_nothing(in_order: Running, first_run: dict[str, Any], file: Path) -> None:
    again = in_order.replay(file)
    assert again.pop("new_inputs") == 0
    assert unchanging(again) == unchanging(first_run)


def test_O6_shuffled_on_a_fresh_state_it_ends_the_same(first_run: dict[str, Any], file: Path) -> None:
    with running() as fresh:
        shuffled = fresh.replay(file, "--shuffle", "4")
    assert shuffled["fingerprints"] == first_run["fingerprints"]
    assert shuffled["tiers"] == first_run["tiers"]
    assert shuffled["orders"] == first_run["orders"]


def test_a_generated_day_is_booked_whole_and_members_hear_of_it(in_order: Running, first_run: dict[str, Any]) -> None:
    in_order.shop("day", "--members", "40")
    report = orjson.loads(in_order.shop("report", "--json"))
    assert report["ok"]
    assert report["dead_letters"] == {}
    assert report["members"] > first_run["members"]
    assert report["inputs"]["known"] > 0
    sent = {place for place, decisions in report["messages"].items() if decisions.get("sent")}
    assert sent >= {"joined inapp", "points-earned inapp", "points-confirmed inapp", "tier-upgraded email"}


def test_P7_orders_paid_in_part_with_points_through_holds(file: Path) -> None:
    with running() as fresh:
        spent = fresh.replay(file, "--redeem", "1")
        assert spent["ok"]
        assert spent["dead_letters"] == {}
        checkouts = spent["checkouts"]
        assert checkouts["paid"] > 0
        assert spent["points"]["held"] > 0
        assert spent["points"]["redeemed"] > spent["points"]["returned"] > 0
        assert sum(spent["holds"].values()) == sum(
            checkouts.get(ending, 0) for ending in ("paid", "paid_late", "released", "left")
        )
        assert spent["holds"]["captured"] >= checkouts["paid"]
        assert "open" not in spent["holds"]
        assert spent["balances"]["held"] == 0
        again = fresh.replay(file, "--redeem", "1")
    assert again.pop("new_inputs") == 0
    assert unchanging(again) == unchanging(spent)
