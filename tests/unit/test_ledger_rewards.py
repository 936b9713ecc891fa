"""Rewards in the fold: what sold out gives back, whose points an order may have, and the account that counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.program import Program, load
from services.kit.calendar import Micros, later, parse_rfc3339
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import digest_of
from services.ledger.domain.state.inputs import AddCodes, AnyInput, RedeemPoints, RedeemReward, ReturnRedemption
from services.ledger.domain.state.messages import AskReward, GiveBackReward, KeepReward, RewardAnswered
from services.ledger.domain.state.redemptions import decode_redemption, encode_redemption
from services.ledger.domain.state.rewards import decode_pool, decode_stock
from tests.model import events as shop
from tests.model.days import instant
from tests.unit.ledger_member import MemoryLedger

DEFAULT = load((Path(__file__).parents[2] / "deploy" / "program.yaml").read_text("utf-8")).document()
REWARDS: list[dict[str, Any]] = [
    {"reward": "mug", "kind": "gift", "points": 500, "stock": 2},
    {"reward": "teapot", "kind": "points_cash", "points": 500, "price": "59.00"},
    {"reward": "shipping", "kind": "free_shipping", "points": 500},
    {"reward": "ten-off", "kind": "coupon", "points": 300, "codes": "pool-1"},
]
DOCUMENT = Program.from_document({**DEFAULT, "redeem": {"rewards": REWARDS}}).document()
MARCH_5 = parse_rfc3339("2026-03-05T10:00:01+08:00")


@pytest.fixture
def ledger() -> MemoryLedger:
    """1,900 points until the end of 1 March 2027. It is 5 March 2026."""
    made = MemoryLedger(DOCUMENT)
    made.arrive(shop.paid("o1", shop.d(1), "900"), parse_rfc3339("2026-03-01T10:00:01+08:00"))
    made.arrive(shop.completed("o1", shop.d(5)), MARCH_5)
    return made


def buying(reward: str, now: Micros, redemption: str = "r1") -> RedeemReward:
    return RedeemReward("/shop", f"buy {redemption}", now, redemption, redemption, reward, "")


def answered(granted: bool, now: Micros, redemption: str = "r1") -> RewardAnswered:
    return RewardAnswered("/loyalty/ledger", f"{redemption}:answered", now, redemption, granted, "")


def test_while_it_is_asked_the_points_are_in_transit(ledger: MemoryLedger) -> None:
    assert ledger.do(buying("mug", MARCH_5), MARCH_5) == "booked"
    assert (ledger.account.available, ledger.account.in_transit, ledger.account.redeemed) == (1400, 500, 0)
    ledger.do(answered(True, MARCH_5), MARCH_5)
    assert (ledger.account.available, ledger.account.in_transit, ledger.account.redeemed) == (1400, 0, 500)
    assert ledger.account.earned == 1900


def test_P4_what_a_sold_out_reward_gives_back_has_grace_once_its_lot_is_over(ledger: MemoryLedger) -> None:
    last = parse_rfc3339("2027-03-01T23:59:59+08:00")
    ledger.do(buying("mug", last), last)
    ledger.do(answered(False, last), later(last, 2_000_000))
    assert (ledger.account.available, ledger.account.in_transit, ledger.account.expired) == (500, 0, 1400)
    assert decode_redemption(ledger.facts["redemption:r1"]).state == "sold_out"


def test_an_answer_that_comes_again_changes_nothing(ledger: MemoryLedger) -> None:
    ledger.do(buying("mug", MARCH_5), MARCH_5)
    ledger.do(answered(False, MARCH_5), MARCH_5)
    assert ledger.do(answered(True, later(MARCH_5, 1)), later(MARCH_5, 1)) == "known"
    assert ledger.do(answered(True, MARCH_5, "other"), MARCH_5) == "known"
    assert (ledger.account.available, ledger.account.redeemed) == (1900, 0)


@pytest.mark.parametrize(("reward", "redeemed"), [("teapot", 500), ("shipping", 1000)])
def test_P7_an_order_has_the_points_that_pay_beside_money_and_no_other_rewards(
    ledger: MemoryLedger, reward: str, redeemed: int
) -> None:
    ledger.do(buying(reward, MARCH_5), MARCH_5)
    order = shop.paid("o2", shop.d(6), "200", points_used=500, points_value="5")
    order["data"]["redemption_id"] = "r1"
    ledger.arrive(order, parse_rfc3339("2026-03-06T10:00:01+08:00"))
    assert ledger.account.redeemed == redeemed


def test_O4_a_cancelled_order_gives_back_what_it_paid_for_in_part_with_points() -> None:
    counted = [{**REWARDS[1], "stock": 1}]
    ledger = MemoryLedger(Program.from_document({**DEFAULT, "redeem": {"rewards": counted}}).document())
    ledger.arrive(shop.paid("o1", shop.d(1), "900"), parse_rfc3339("2026-03-01T10:00:01+08:00"))
    ledger.arrive(shop.completed("o1", shop.d(5)), MARCH_5)
    ledger.do(buying("teapot", MARCH_5), MARCH_5)
    ledger.do(answered(True, MARCH_5), MARCH_5)
    order = shop.paid("o2", shop.d(6), "200", points_used=500, points_value="5")
    order["data"]["redemption_id"] = "r1"
    ledger.arrive(order, parse_rfc3339("2026-03-06T10:00:01+08:00"))
    assert (ledger.account.available, ledger.account.redeemed) == (1400, 500)
    for day in (7, 8):  # cancelled twice
        ledger.arrive(shop.cancelled("o2", shop.d(day), id=f"c{day}"), parse_rfc3339(f"2026-03-0{day}T10:00:01+08:00"))
    assert (ledger.account.available, ledger.account.redeemed) == (1900, 0)
    messages = [message for row in ledger.journal for message in row.outcome.messages][1:]
    assert [(message.to, type(message.input_)) for message in messages] == [("reward:teapot", GiveBackReward)]
    assert decode_redemption(ledger.facts["redemption:r1"]).state == "cancelled"


def test_mend_a05_R13_a_reinstated_order_has_its_reward_and_the_stock_counts_it_as_out() -> None:
    counted = [{**REWARDS[1], "stock": 1}]
    ledger = MemoryLedger(Program.from_document({**DEFAULT, "redeem": {"rewards": counted}}).document())
    ledger.arrive(shop.paid("o1", shop.d(1), "900"), parse_rfc3339("2026-03-01T10:00:01+08:00"))
    ledger.arrive(shop.completed("o1", shop.d(5)), MARCH_5)
    ledger.do(buying("teapot", MARCH_5), MARCH_5)
    ledger.do(answered(True, MARCH_5), MARCH_5)
    order = shop.paid("o2", shop.d(6), "200", points_used=500, points_value="5")
    order["data"]["redemption_id"] = "r1"
    ledger.arrive(order, parse_rfc3339("2026-03-06T10:00:01+08:00"))
    changes = [shop.cancelled, shop.reinstated, shop.cancelled, shop.reinstated]
    for day, change in enumerate(changes, 7):
        ledger.arrive(change("o2", shop.d(day), id=f"c{day}"), instant(shop.d(day)))
        standing = change is shop.reinstated
        assert (ledger.account.available, ledger.account.redeemed) == ((1400, 500) if standing else (1900, 0))
        assert decode_redemption(ledger.facts["redemption:r1"]).state == ("done" if standing else "cancelled")
    messages = [message for row in ledger.journal for message in row.outcome.messages][1:]
    assert [type(message.input_) for message in messages] == [GiveBackReward, KeepReward] * 2
    assert len({(message.input_.id, message.input_.at) for message in messages}) == 4
    assert {message.to for message in messages} == {"reward:teapot"}


@pytest.mark.parametrize("used", [0, 300, 500])
def test_mend_a02_P7_an_order_uses_the_whole_price_of_a_reward_whatever_it_says(
    ledger: MemoryLedger, used: int
) -> None:
    ledger.do(buying("teapot", MARCH_5), MARCH_5)
    order = shop.paid("o2", shop.d(6), "200", points_used=used, points_value="0" if used else None)
    order["data"]["redemption_id"] = "r1"
    ledger.arrive(order, parse_rfc3339("2026-03-06T10:00:01+08:00"))
    assert (ledger.account.available, ledger.account.redeemed) == (1400, 500), "the reward is out"
    ledger.arrive(shop.refunded("o2", shop.d(7), "100"), parse_rfc3339("2026-03-07T10:00:01+08:00"))
    assert (ledger.account.available, ledger.account.redeemed) == (1650, 250)
    ledger.arrive(shop.cancelled("o2", shop.d(8)), parse_rfc3339("2026-03-08T10:00:01+08:00"))
    assert (ledger.account.available, ledger.account.redeemed) == (1900, 0)
    assert decode_redemption(ledger.facts["redemption:r1"]).state == "cancelled"


@pytest.mark.parametrize("first", [0, 1])
def test_mend_a02_P7_a_reward_that_one_revision_names_goes_with_the_order_whichever_came_first(
    ledger: MemoryLedger, first: int
) -> None:
    ledger.do(buying("teapot", MARCH_5), MARCH_5)
    revisions = [shop.paid("o2", shop.d(6), "200", points_used=500, points_value="5", revision=n) for n in (0, 1)]
    revisions[0]["data"]["redemption_id"] = "r1"
    for day, revision in ((7, revisions[first]), (8, revisions[1 - first])):
        ledger.arrive(revision, parse_rfc3339(f"2026-03-0{day}T10:00:01+08:00"))
    assert (ledger.account.available, ledger.account.redeemed) == (1400, 500)
    ledger.arrive(shop.cancelled("o2", shop.d(9)), parse_rfc3339("2026-03-09T10:00:01+08:00"))
    assert (ledger.account.available, ledger.account.redeemed) == (1900, 0)
    assert decode_redemption(ledger.facts["redemption:r1"]).state == "cancelled"


def test_mend_a06_P8_the_price_of_a_reward_is_bound_by_no_limits_on_points() -> None:
    offset = {"points_per_unit": 100, "minimum": 300, "step": 300, "max_share": "0.01"}
    ledger = MemoryLedger(
        Program.from_document({**DEFAULT, "redeem": {"cash_offset": offset, "rewards": REWARDS[1:2]}}).document()
    )
    ledger.arrive(shop.paid("o1", shop.d(1), "900"), parse_rfc3339("2026-03-01T10:00:01+08:00"))
    ledger.arrive(shop.completed("o1", shop.d(5)), MARCH_5)
    ledger.do(buying("teapot", MARCH_5), MARCH_5)
    for order_id, names, alarms in (("o2", "r1", []), ("o3", "", ["points_beyond_program"])):
        order = shop.paid(order_id, shop.d(6), "64", points_used=500, points_value="5", id=order_id)
        if names:
            order["data"]["redemption_id"] = names
        ledger.arrive(order, parse_rfc3339("2026-03-06T10:00:01+08:00"))
        assert ledger.journal[-1].outcome.alarms == alarms


def test_mend_a02_P7_what_an_older_release_left_of_an_order_s_redemption_comes_back_by_command(
    ledger: MemoryLedger,
) -> None:
    ledger.do(RedeemPoints("/shop", "redeem", MARCH_5, "r1", "r1", 500), MARCH_5)
    redemption = decode_redemption(ledger.facts["redemption:r1"])
    redemption.order = "/o2"
    ledger.facts["redemption:r1"] = encode_redemption(redemption)
    for number, (points, outcome) in enumerate(((501, "more_than_left"), (None, "booked"), (1, "redemption_in_order"))):
        assert ledger.do(ReturnRedemption("/shop", f"back {number}", MARCH_5, "r1", points), MARCH_5) == outcome
    assert (ledger.account.available, ledger.account.redeemed) == (1900, 0)


# ── the account that counts ──────────────────────────────────────────────────────────────────────────────────────────


def asking(reward: str, redemption: str) -> AskReward:
    return AskReward("/loyalty/ledger", f"{redemption}:asked", MARCH_5, redemption, "m1", reward)


def arrivals(*inputs: AnyInput) -> list[Arrival]:
    return [Arrival(digest_of("reward", each.source, each.id), each, MARCH_5) for each in inputs]


def granted(stock: MemoryLedger) -> list[tuple[bool, str]]:
    messages = [message.input_ for row in stock.journal for message in row.outcome.messages]
    return [(each.granted, each.code) for each in messages if isinstance(each, RewardAnswered)]


def test_no_more_is_granted_than_there_is_and_what_is_given_back_is_granted_again() -> None:
    stock = MemoryLedger(DOCUMENT)
    given_back = GiveBackReward("/loyalty/ledger", "r2:given-back", MARCH_5, "r2")
    asked = [asking("mug", f"r{number}") for number in range(4)]
    messages: list[AnyInput] = [*asked, given_back, given_back, asking("mug", "r8"), asking("mug", "r9")]
    for each in messages:
        stock.do(each, MARCH_5)
    assert [yes for yes, _ in granted(stock)] == [True, True, False, False, False, False], "r2 had none to give back"
    stock.do(GiveBackReward("/loyalty/ledger", "r0:given-back", MARCH_5, "r0"), MARCH_5)
    stock.do(asking("mug", "r10"), MARCH_5)
    assert granted(stock)[-1] == (True, "")
    assert decode_stock(stock.facts["stock:mug"]).granted == 2


def test_mend_a05_R13_what_was_given_back_and_is_kept_after_all_is_out_even_if_it_is_one_too_many() -> None:
    stock = MemoryLedger(DOCUMENT)
    for redemption in ("r0", "r1"):
        stock.do(asking("mug", redemption), MARCH_5)
    for number in range(2):  # the second time finds it out already
        kept = KeepReward("/loyalty/ledger", f"r0:{number}:kept", MARCH_5, "r0")
        stock.do(GiveBackReward("/loyalty/ledger", f"r0:{number}:given-back", MARCH_5, "r0"), MARCH_5)
        assert [stock.do(kept, MARCH_5) for _ in range(2)] == ["booked", "known"]
    assert decode_stock(stock.facts["stock:mug"]).granted == 2
    stock.do(GiveBackReward("/loyalty/ledger", "r0:2:given-back", MARCH_5, "r0"), MARCH_5)
    stock.do(asking("mug", "r2"), MARCH_5)
    stock.do(KeepReward("/loyalty/ledger", "r0:2:kept", MARCH_5, "r0"), MARCH_5)
    assert stock.journal[-1].outcome.alarms == ["reward_oversold"]
    assert decode_stock(stock.facts["stock:mug"]).granted == 3
    stock.do(asking("mug", "r3"), MARCH_5)
    assert [yes for yes, _ in granted(stock)] == [True, True, True, False]


def test_O7_the_stock_is_the_same_in_one_batch_and_one_at_a_time() -> None:
    codes = AddCodes("/operator", "fill", MARCH_5, ("A", "B", "A", "C"))
    inputs: list[AnyInput] = [codes, *(asking("ten-off", f"r{number}") for number in range(5))]
    together, apart = MemoryLedger(DOCUMENT), MemoryLedger(DOCUMENT)
    together._book(arrivals(*inputs))
    for each in arrivals(*inputs):
        apart._book([each])
    assert granted(together) == [(True, "A"), (True, "B"), (True, "C"), (False, ""), (False, "")]
    assert (together.account.head, together.facts) == (apart.account.head, apart.facts)
    pool = decode_pool(together.facts["codes"])
    assert (pool.added, pool.taken) == (3, 3)
