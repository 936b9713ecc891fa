"""Drawing the histories that are committed: done once, since other versions of the tools draw others."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Final

import msgspec
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from services.kit.calendar import Micros
from tests.golden.histories import History, data_of
from tests.model.days import DAY, MINUTE
from tests.model.events import Timer
from tests.model.histories import arrivals, checkouts, facts, programs, versions
from tests.simulation.programs import draw_program
from tests.simulation.traffic import traffic

_SEED: Final = 20_260_301
_FEWEST_STEPS: Final = 8
"""Of shorter histories a draw has too many."""
_EXPIRY: Final = ("month", "none", "short", "fixed", "sliding")
_NEGATIVE: Final = ("debt", "clamp", "review")
_REFUND: Final = ("recompute", "proportional")
_AT: Final = 3
"""Where an input's array has its business time."""
_EAST: Final = 8 * 60 * MINUTE
"""The programs' time zone."""
_AFTERWARDS: Final = 100 * DAY


@st.composite
def _plain(draw: st.DrawFn) -> History:
    """Orders and the rest of a shop's life, in any order of arrival."""
    program = draw(programs(lateness=("none", 30)))
    steps = draw(arrivals(draw(facts())))
    return History("plain", "one", "closed", [program], [data_of(step) for step in steps])


@st.composite
def _spending(draw: st.DrawFn) -> History:
    """Holds, redemptions and orders that use points."""
    program = draw(programs(lateness=("none", 30)))
    steps = draw(checkouts(draw(facts(spending=True))))
    return History("spending", "one", "closed", [program], [data_of(step) for step in steps])


@st.composite
def _algebra(draw: st.DrawFn) -> History:
    """All that a program can say, two versions of it, transfers, referrals, bought days, shortfalls."""
    drawn = draw(
        versions(lateness=("none", 30, 5), expiry=_EXPIRY, negative=_NEGATIVE, refund=_REFUND, more=True, ahead=True)
    )
    told = draw(facts(spending=True, more=True))
    steps = draw(checkouts(told, reviews=True, more=True, ahead=True))
    return History("algebra", "one", "closed", drawn, [data_of(step) for step in steps])


@st.composite
def _budgets(draw: st.DrawFn) -> History:
    """Campaigns that give from a budget."""
    drawn = draw(versions(refund=_REFUND, more=True, ahead=True))
    steps = draw(arrivals(draw(facts(more=True))))
    return History("budgets", "one", "closed", drawn, [data_of(step) for step in steps])


@st.composite
def _batches(draw: st.DrawFn) -> History:
    """Tiers as they were told, and several inputs booked together."""
    drawn = draw(versions(lateness=("none", 30), expiry=_EXPIRY, negative=_NEGATIVE, refund=_REFUND, more=True))
    told = draw(facts(tiers=True, spending=True, more=True))
    steps = draw(checkouts(told, reviews=True, more=True, ahead=True))
    rest = [data_of(step) for step in steps if not isinstance(step, Timer)]
    batches: list[list[Any]] = []
    while rest:
        size = draw(st.integers(1, min(len(rest), 12)))
        batches.append(["batch", rest[:size]])
        rest = rest[size:]
    return History("batches", "one", "given", drawn, batches)


_FLAVOURS: Final[Mapping[str, tuple[st.SearchStrategy[History], int]]] = {
    "plain": (_plain(), 60),
    "spending": (_spending(), 80),
    "algebra": (_algebra(), 160),
    "budgets": (_budgets(), 50),
    "batches": (_batches(), 50),
}
_WORLDS: Final = 24
_PERSONAL: Final = ("name", "phone", "email")


def draw() -> Iterator[History]:
    """The histories, flavour by flavour."""
    for strategy, count in _FLAVOURS.values():
        yield from map(_without_persons, _drawn(strategy, count))
    for number in range(_WORLDS):
        yield _world(f"{_SEED}:{number}")


def _drawn(strategy: st.SearchStrategy[History], wanted: int) -> list[History]:
    """So many different histories of a strategy."""
    drawn: dict[str, History] = {}

    @seed(_SEED)
    @settings(
        max_examples=3 * wanted,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(history: History) -> None:
        if len(history.steps) >= _FEWEST_STEPS and len(drawn) < wanted:
            drawn.setdefault(json.dumps(history), history)

    collect()
    assert len(drawn) == wanted, len(drawn)
    return list(drawn.values())


def _without_persons(history: History) -> History:
    """The same, with the name of a profile's field for what it is filled with: nothing of that goes into the ledger."""
    for step in history.steps:
        for kind, _, *fields in step[1] if step[0] == "batch" else [step]:
            data = fields[0]["data"] if kind == "event" else {}
            data.update((field, field) for field in _PERSONAL if data.get(field))
    return history


def _world(name: str) -> History:
    """Several accounts and what they tell each other: transfers, rewards, referrals, budgets."""
    rng = random.Random(name)
    program = draw_program(rng)
    drawn = traffic(name, members=rng.choice((2, 3, 5)), steps=200)
    members = sorted({step.member_id for step in drawn})
    steps: list[list[Any]] = []
    together: list[list[Any]] = []
    most, now = 1, drawn[0].now

    def close() -> None:
        nonlocal most
        if together:
            steps.append(["told", list(together)])
            together.clear()
        most = rng.choice((1, 3, 10, 60))
        if rng.random() < 0.3:
            steps.append(["deliver", now])
        if rng.random() < 0.05:
            steps.append(["sweep", now])
        if rng.random() < 0.03:
            steps.append(["told", [[now, *_notice(member, now, days)] for member in members for days in range(31)]])

    for step in drawn:
        now, array = step.now, msgspec.to_builtins(step.input_)
        if step.is_command:
            close()
            array[_AT] = now
            if array[0] == "redeem_reward":
                array[-1] = f"{rng.getrandbits(64):016x}"
            steps.append(["asked", now, step.member_id, array])
        else:
            together.append([now, step.member_id, array])
            if len(together) >= most:
                close()
    close()
    for after in (now, now + _AFTERWARDS):
        steps += [["deliver", after], ["sweep", after], ["deliver", after], ["sweep", after]]
    return History("world", "several", "given", [program], steps)


def _notice(member_id: str, now: Micros, days: int) -> list[Any]:
    """The last day of points comes near, if there are any that end then."""
    day = date(1970, 1, 1).toordinal() + (now + _EAST) // DAY + days
    return [member_id, ["expiring", "/loyalty/ledger/timer", f"expiring:{day}:{days}d:{now}", now, day]]
