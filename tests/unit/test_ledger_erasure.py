"""Erased members on the fold: which inputs are facts, and what is forgotten (Z1)."""

from __future__ import annotations

from typing import get_args

from schemas.events import parse_event
from schemas.topics import BY_NAME
from services.kit.money import exponent
from services.ledger.consumer import COMMERCE
from services.ledger.domain.state.fact_keys import PROFILE
from services.ledger.domain.state.inputs import Erased, Fact, OrderInput
from services.ledger.events.inbound import input_of
from tests.conftest import REPOSITORY
from tests.model.days import instant
from tests.model.events import Event, cancelled, completed, d, erased, paid, profile, registered
from tests.model.program import program
from tests.unit.ledger_member import MemoryLedger
from tests.unit.test_ledger_referrals import BORN, BOUGHT, FRIEND, STANDS, ledger_after, referrals, with_referral

BIRTHDAY = {"rule": "birthday", "on": "order", "when": "birthday_month", "multiplier": "2"}


def with_birthdays() -> dict[str, object]:
    made = program(["purchase"])
    return {**made, "earn": [*made["earn"], BIRTHDAY]}


def test_mend_b06_each_event_of_the_shop_is_a_fact_or_an_erasure() -> None:
    for topic in COMMERCE:
        for type_ in sorted(BY_NAME[topic].accepted):
            example = (REPOSITORY / "schemas" / "examples" / f"{type_}.json").read_bytes()
            input_ = input_of(parse_event(example), "CNY", exponent("CNY"))
            assert input_ is None or isinstance(input_, Fact | Erased), type_
    assert set(get_args(OrderInput)) <= set(get_args(Fact))


def test_mend_b06_a_fact_of_an_erased_member_says_why_it_was_refused() -> None:
    ledger = ledger_after(program(["purchase"]), erased(d(5)))
    assert ledger.arrive(paid("o1", d(4), "900"), instant(d(6))) == "refused"
    outcome = ledger.journal[-1].outcome
    assert (outcome.detail, outcome.entries, ledger.account.pending) == ("of_an_erased_member", [], 0)
    assert ledger.arrive(paid("o1", d(4), "900"), instant(d(7))) == "known", "it has its row"


def birthdays_of(ledger: MemoryLedger) -> list[int]:
    return [birthday for _, birthday in ledger.account.details.birthdays]


def test_mend_b06_the_birthday_is_forgotten_and_what_it_earned_stands() -> None:
    born, order = profile(d(-60), birthday="1990-03-09"), [paid("o1", d(2), "100"), completed("o1", d(3))]
    ledger = ledger_after(with_birthdays(), born, *order)
    assert (birthdays_of(ledger), ledger.account.available) == ([309], 200)
    ledger.arrive(erased(d(4)), instant(d(4)))
    assert (birthdays_of(ledger), ledger.account.available) == ([], 200)
    later: list[Event] = [paid("o2", d(5), "100"), completed("o2", d(6)), profile(d(7), name="Lin")]
    for event in later:
        ledger.arrive(event, instant(event["time"]))
    assert (birthdays_of(ledger), ledger.account.available) == ([], 300)
    assert b"name" in ledger.facts[PROFILE], "which fields are filled is no personal data"


def test_mend_b06_the_referrer_is_forgotten_and_the_referral_stands() -> None:
    ledger = ledger_after(with_referral(), FRIEND, BORN, *BOUGHT, erased(d(4)))
    assert (ledger.account.details.referrer, ledger.account.available) == ("", 150)
    assert b"friend" not in ledger.facts[PROFILE]
    ledger.arrive(cancelled("o1", d(6)), instant(d(6)))
    assert referrals(ledger) == [STANDS], "nobody knows any more whose referral it was"
    assert ledger_after(with_referral(), FRIEND, BORN, erased(d(1, "12:00")), *BOUGHT).account.available == 100


def test_mend_b06_what_the_member_says_after_the_erasure_is_kept() -> None:
    again = registered(d(6), id="again", birthday="1990-05-09")
    ledger = ledger_after(with_birthdays(), profile(d(1), birthday="1990-03-09"), again)
    ledger.arrive(erased(d(5)), instant(d(7)))
    assert birthdays_of(ledger) == [509]
    assert not ledger.account.details.is_erased
