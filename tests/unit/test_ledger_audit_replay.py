"""The replay of the audit: any cut of a history into batches gives the same rows (O7)."""

from __future__ import annotations

import orjson
import pytest

from schemas import program
from schemas.events import parse_event
from services.kit.calendar import later, parse_rfc3339
from services.ledger.audit.replay import Replay
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import digest_of
from services.ledger.domain.program.program import ProgramVersions, compile_program
from services.ledger.events.inbound import input_of
from tests.conftest import REPOSITORY
from tests.model import events as shop

DOCUMENT = program.load((REPOSITORY / "deploy" / "program.yaml").read_text("utf-8")).document()
PROGRAMS = ProgramVersions([compile_program(1, DOCUMENT)])


def a_history() -> list[Arrival]:
    """Orders that are revised, refunded, cancelled and paid with points, with sign-ins and reviews in between."""
    events = [
        shop.registered(shop.d(1)),
        shop.paid("o1", shop.d(1), [shop.line("l1", "500"), shop.line("l2", "400")]),
        shop.signed_in(shop.d(2)),
        shop.completed("o1", shop.d(3)),
        shop.paid("o2", shop.d(4), "300", points_used=500, points_value="5"),
        *(shop.review(str(number), shop.d(5)) for number in range(4)),
        shop.refunded("o1", shop.d(6), [shop.part("l1", "500")]),
        shop.refunded("o2", shop.d(7), "100"),
        shop.paid("o2", shop.d(4), "350", points_used=500, points_value="5", revision=1),
        shop.cancelled("o2", shop.d(8)),
        shop.paid("o3", shop.d(9), "60"),
        shop.signed_in(shop.d(40)),
    ]
    arrivals = []
    for event in events:
        input_ = input_of(parse_event(orjson.dumps(event)), "CNY", 2)
        assert input_ is not None
        now = later(parse_rfc3339(event["time"]), 1_000_000)
        arrivals.append(Arrival(digest_of("m1", input_.source, input_.id), input_, now))
    return arrivals


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_O7_a_replay_is_the_same_however_its_inputs_are_cut(size: int) -> None:
    history = a_history()
    whole, sliced = Replay(PROGRAMS, 1, "m1"), Replay(PROGRAMS, 1, "m1")
    whole.fold(history)
    heads = [
        row.head for start in range(0, len(history), size) for row in sliced.fold(history[start : start + size]).rows
    ]
    assert heads[-1] == whole.account.head
    assert sliced.account == whole.account
    assert sliced.orders == whole.orders
    assert sliced.lines == whole.lines
    assert sliced.facts == whole.facts
    assert {lot: columns for lot, columns in sliced.lots.items() if any(columns)} == {
        lot: columns for lot, columns in whole.lots.items() if any(columns)
    }
