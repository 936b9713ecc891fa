"""Tiers over dated timelines: thresholds, jumps, summed instants, corrections of the past."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kit.calendar import Micros, later, parse_rfc3339
from services.tiering.audit.naive import naive_history
from services.tiering.domain.ladder import UnsupportedError, Way, compile_ladder
from services.tiering.domain.member import (
    KEPT_OPEN_ORDERS,
    MAX_OPEN_ORDERS,
    Cause,
    Decision,
    Enrolment,
    Input,
    Member,
    Need,
    Order,
    TimelineReceived,
    decide,
    needs,
    order_key,
    settle,
)
from services.tiering.domain.program import ProgramVersions, compile_program
from services.tiering.domain.timeline import Entry, canonical

JANUARY = parse_rfc3339("2026-01-01T00:00:00+08:00")
DAY = 86_400_000_000


def document(**changes: Any) -> dict[str, Any]:
    """The initial ladder: 普通 one successful order, 高级 399, VIP 688, 至尊VIP 888."""
    made: dict[str, Any] = {
        "program": "example-shop",
        "version": "2026.1",
        "effective_from": "2026-01-01T00:00:00+08:00",
        "currency": "CNY",
        "membership": {"kind": "open", "earn_from": "first_event"},
        "tiers": {
            "mode": "upgrade_only",
            "growth": {"counts": "qualifying_amount", "after_days": 0},
            "ladder": [
                {"tier": "regular", "name": {"zh-CN": "普通会员", "en": "Regular"}, "when": {"orders": 1}},
                {"tier": "senior", "when": {"growth": "399"}},
                {"tier": "vip", "when": {"growth": "688"}},
                {"tier": "supreme", "when": {"growth": "888"}},
            ],
        },
    }
    return {**made, **changes}


def with_ladder(ladder: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    return document(tiers={"mode": "upgrade_only", "ladder": ladder}, **changes)


def on(day: float) -> Micros:
    """An instant so many days into 2026."""
    return later(JANUARY, round(day * DAY))


def bought(day: float, yuan: str) -> Entry:
    """A completed order of one line."""
    whole, _, cents = yuan.partition(".")
    return Entry(on(day), int(whole) * 100 + int(cents.ljust(2, "0")), 1)


class Buyer:
    """A member whose inputs are booked one by one as the executor does it: settled orders are kept apart."""

    def __init__(self, *documents: dict[str, Any]) -> None:
        self.documents = documents or (document(),)
        self.versions = ProgramVersions([compile_program(d) for d in self.documents])
        self.member = Member()
        self.stored: dict[str, Order] = {}
        self.version = 0
        self.fetched_all = 0

    def order(self, order_id: str, *entries: Entry, version: int | None = None) -> Decision | None:
        self.version += 1
        number = self.version if version is None else version
        cause = Cause("loyalty.order.qualified.v1", "/loyalty/ledger", f"m:{number}:0", on(0), order_id)
        order = Order(number, 0, canonical(entries))
        return self.book(TimelineReceived("m", order_key("", order_id), order, cause))

    def enrolled(self, day: float) -> Decision | None:
        cause = Cause("commerce.member.registered.v1", "/shop", f"r{day}", on(day), None)
        return self.book(Enrolment("m", cause))

    def book(self, input_: Input) -> Decision | None:
        settled: dict[str, Order] | None = None
        need = needs(self.versions, self.member, input_, settled)
        if need == Need.ORDER:
            assert isinstance(input_, TimelineReceived)
            settled = {key: order for key, order in self.stored.items() if key == input_.key}
            need = needs(self.versions, self.member, input_, settled)
        if need == Need.ALL:
            self.fetched_all += 1
            settled = dict(self.stored)
        decision = decide(self.versions, self.member, input_, settled or {}, complete=need == Need.ALL)
        self.stored.update(settle(self.member, self.versions))
        raw = msgspec.msgpack.encode(self.member)
        self.member = msgspec.msgpack.decode(raw, type=Member)
        return decision

    @property
    def tier(self) -> str:
        return self.member.position.tier

    @property
    def history(self) -> list[tuple[str, Micros]]:
        return [(reached.tier, reached.effective_at) for reached in self.member.position.reached]

    def naive(self) -> list[tuple[str, Micros]]:
        orders = {**self.stored, **self.member.orders}
        return naive_history(self.documents, self.member.enrolled_at, [o.entries for o in orders.values()])


# --- T2: half-open intervals, jumps, the orders condition ---------------------------------------------


@pytest.mark.parametrize(
    ("yuan", "tier"),
    [
        ("0.01", "regular"),
        ("398.99", "regular"),
        ("399", "senior"),
        ("687.99", "senior"),
        ("688", "vip"),
        ("887.99", "vip"),
        ("888", "supreme"),
        ("9999.99", "supreme"),
    ],
)
def test_T2_a_threshold_belongs_to_the_tier_above_it(yuan: str, tier: str) -> None:
    buyer = Buyer()
    buyer.order("17", bought(1, yuan))
    assert buyer.tier == tier


def test_T2_growth_without_a_successful_order_and_below_all_thresholds_is_no_tier() -> None:
    buyer = Buyer()
    buyer.order("17", Entry(on(1), 39_899, 0))
    assert buyer.tier == "none"
    assert buyer.member.position.growth == 39_899


def test_T2_one_order_jumps_tiers_and_makes_one_fact_for_the_last() -> None:
    buyer = Buyer()
    buyer.order("1", bought(1, "10"))
    decision = buyer.order("2", bought(2, "1000"))
    assert decision is not None
    [fact] = decision.facts
    assert (fact.kind, fact.previous_tier, fact.tier) == ("upgraded", "regular", "supreme")
    assert buyer.history == [("regular", on(1)), ("supreme", on(2))]


def test_T2_an_order_whose_lines_complete_one_by_one_makes_one_fact_with_each_tier_dated() -> None:
    buyer = Buyer()
    decision = buyer.order("1", Entry(on(1), 40_000, 0), Entry(on(2), 50_000, 1))
    assert decision is not None
    [fact] = decision.facts
    assert (fact.kind, fact.previous_tier, fact.tier, fact.effective_at) == (
        "upgraded", "none", "supreme", on(2),
    )  # fmt: skip
    assert buyer.history == [("senior", on(1)), ("supreme", on(2))]


def test_T2_the_third_successful_order_meets_an_orders_condition_whatever_was_spent() -> None:
    ladder = [
        {"tier": "regular", "when": {"orders": 1}},
        {"tier": "senior", "when": {"any": [{"growth": "399"}, {"orders": 3}]}},
    ]
    buyer = Buyer(with_ladder(ladder))
    buyer.order("1", bought(1, "1"))
    buyer.order("2", bought(2, "1"))
    assert buyer.tier == "regular"
    buyer.order("3", bought(3, "1"))
    assert buyer.history == [("regular", on(1)), ("senior", on(3))]


def test_T2_all_asks_for_every_part() -> None:
    ladder = [{"tier": "senior", "when": {"all": [{"growth": "100"}, {"orders": 2}]}}]
    buyer = Buyer(with_ladder(ladder))
    buyer.order("1", bought(1, "500"))
    assert buyer.tier == "none"
    buyer.order("2", bought(2, "0.01"))
    assert buyer.history == [("senior", on(2))]


def test_T1_the_highest_tier_whose_own_condition_is_met_counts_even_if_one_below_is_not() -> None:
    ladder = [
        {"tier": "regular", "when": {"orders": 5}},
        {"tier": "senior", "when": {"growth": "399"}},
    ]
    buyer = Buyer(with_ladder(ladder))
    buyer.order("1", bought(1, "399"))
    assert buyer.tier == "senior"


# --- T1: effective times, entries of one instant ------------------------------------------------------


def test_T1_the_tier_takes_effect_when_the_crossing_entry_is_dated_not_when_it_arrives() -> None:
    buyer = Buyer()
    buyer.order("1", bought(3, "600"))
    decision = buyer.order("2", bought(9, "300"))
    assert decision is not None
    assert decision.facts[0].effective_at == on(9)
    assert buyer.history == [("senior", on(3)), ("supreme", on(9))]


def test_T1_entries_of_one_instant_are_summed_over_all_orders_first() -> None:
    buyer = Buyer()
    buyer.order("1", bought(1, "300"))
    buyer.order("2", Entry(on(2), -5_000, 0), bought(2, "120"))
    buyer.order("3", Entry(on(2), 2_899, 0))
    assert buyer.history == [("regular", on(1))]  # 300 + 120 − 50 + 28.99 = 398.99 at that instant
    buyer.order("4", Entry(on(2), 1, 0))
    assert buyer.history == [("regular", on(1)), ("senior", on(2))]


def test_T1_a_refund_of_the_crossing_instant_undoes_the_crossing_in_either_order() -> None:
    crossing, refund = bought(2, "399"), Entry(on(2), -1, 0)
    one, other = Buyer(), Buyer()
    one.order("1", crossing)
    decision = one.order("2", refund)
    other.order("2", refund)
    other.order("1", crossing)
    assert one.history == other.history == [("regular", on(2))]
    assert decision is not None
    assert decision.facts[0].kind == "downgraded"


# --- T3, R8: what was reached stays; late facts correct the past --------------------------------------


def test_T3_R8_a_tier_reached_in_business_time_stays_after_a_refund() -> None:
    buyer = Buyer()
    buyer.order("1", bought(1, "700"))
    assert buyer.order("1", bought(1, "700"), Entry(on(5), -70_000, -1)) is None
    assert buyer.tier == "vip"
    assert (buyer.member.position.growth, buyer.member.position.orders) == (0, 0)


def test_T9_a_late_refund_from_before_the_crossing_takes_the_tier_back() -> None:
    buyer = Buyer()
    buyer.order("1", bought(1, "200"))
    buyer.order("2", bought(4, "200"))
    assert buyer.tier == "senior"
    decision = buyer.order("1", bought(1, "200"), Entry(on(2), -10_000, 0))
    assert decision is not None
    [fact] = decision.facts
    assert (fact.kind, fact.previous_tier, fact.tier, fact.effective_at) == (
        "downgraded", "senior", "regular", on(1),
    )  # fmt: skip
    assert buyer.history == [("regular", on(1))]


def test_T9_a_correction_to_no_tier_makes_a_fact_too() -> None:
    buyer = Buyer()
    buyer.order("1", bought(1, "50"))
    decision = buyer.order("1")
    assert decision is not None
    assert (decision.facts[0].kind, decision.facts[0].tier) == ("downgraded", "none")
    assert buyer.history == []


def test_T9_a_late_order_that_changes_only_the_past_makes_a_fact_of_kind_kept() -> None:
    buyer = Buyer()
    buyer.order("2", bought(9, "399"))
    decision = buyer.order("1", bought(2, "5"))
    assert decision is not None
    [fact] = decision.facts
    assert (fact.kind, fact.tier, fact.effective_at) == ("kept", "senior", on(9))
    assert buyer.history == [("regular", on(2)), ("senior", on(9))]


def test_T9_a_timeline_replaces_the_orders_known_one_and_an_older_one_is_dropped() -> None:
    buyer = Buyer()
    buyer.order("1", bought(1, "700"), version=7)
    buyer.order("1", bought(1, "399"), version=8)
    assert buyer.order("1", bought(1, "700"), version=7) is None
    assert buyer.order("1", bought(1, "399"), version=8) is None
    assert buyer.tier == "senior"


def test_T9_versions_are_compared_per_order_so_that_a_redriven_dead_letter_still_counts() -> None:
    buyer = Buyer()
    buyer.order("2", bought(2, "10"), version=9)
    buyer.order("1", bought(1, "500"), version=5)
    assert buyer.history == [("senior", on(1))]


def test_T9_growth_that_changes_no_tier_makes_no_fact() -> None:
    buyer = Buyer()
    buyer.order("1", bought(1, "10"))
    assert buyer.order("2", bought(2, "10")) is None
    assert buyer.member.position.growth == 2_000
    assert buyer.member.version == 1


def test_T9_the_version_in_force_at_an_entry_applies_to_it() -> None:
    lower = [{"tier": "regular", "when": {"orders": 1}}, {"tier": "senior", "when": {"growth": "100"}}]
    later = with_ladder(lower, version="2026.2", effective_from="2026-01-11T00:00:00+08:00")
    buyer = Buyer(document(), later)
    buyer.order("1", bought(5, "150"))
    assert buyer.tier == "regular"
    decision = buyer.order("2", bought(10, "1"))
    assert decision is not None
    assert decision.program_version == "2026.2"
    assert buyer.history == [("regular", on(5)), ("senior", on(10))]


def test_T9_a_tier_that_a_later_ladder_no_longer_names_keeps_its_rank() -> None:
    later = with_ladder(
        [{"tier": "silver", "when": {"growth": "1"}}, {"tier": "gold", "when": {"growth": "1000"}}],
        version="2026.2",
        effective_from="2026-01-11T00:00:00+08:00",
    )
    buyer = Buyer(document(), later)
    buyer.order("1", bought(5, "399"))
    buyer.order("2", bought(12, "10"))
    buyer.order("3", bought(13, "1000"))
    assert buyer.history == [("senior", on(5))]
    assert buyer.history == buyer.naive()


# --- T10: membership ----------------------------------------------------------------------------------


def test_T10_registering_enrols_once_at_the_earliest_time() -> None:
    buyer = Buyer()
    first = buyer.enrolled(5)
    assert first is not None
    assert [(fact.kind, fact.effective_at) for fact in first.facts] == [("enrolled", on(5))]
    assert buyer.enrolled(7) is None
    assert buyer.enrolled(3) is None
    assert buyer.member.enrolled_at == on(3)


def test_T10_a_member_who_only_orders_is_not_enrolled() -> None:
    buyer = Buyer()
    decision = buyer.order("1", bought(1, "399"))
    assert decision is not None
    assert [fact.kind for fact in decision.facts] == ["upgraded"]
    assert buyer.member.enrolled_at is None
    enrolled = buyer.enrolled(5)
    assert enrolled is not None
    assert [fact.kind for fact in enrolled.facts] == ["enrolled"]
    assert buyer.tier == "senior"


def test_T10_growth_may_count_from_the_enrolment_on() -> None:
    buyer = Buyer(document(membership={"kind": "open", "earn_from": "enrolment"}))
    buyer.order("1", bought(1, "700"))
    buyer.order("2", bought(9, "400"))
    assert buyer.tier == "none"
    decision = buyer.enrolled(5)
    assert decision is not None
    assert [(fact.kind, fact.event_no, fact.tier) for fact in decision.facts] == [
        ("enrolled", 0, "senior"),
        ("upgraded", 1, "senior"),
    ]
    buyer.enrolled(1)
    assert buyer.history == [("vip", on(1)), ("supreme", on(9))]


# --- The document: what it says, and what is not built --------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tiers": {"mode": "upgrade_downgrade", "ladder": []}}, "tiers.mode"),
        ({"tiers": {"mode": "upgrade_only", "growth": {"after_days": 7}, "ladder": []}}, "after_days"),
        ({"tiers": {"mode": "upgrade_only", "growth": {"counts": "points"}, "ladder": []}}, "growth.counts"),
        ({"membership": {"kind": "restricted"}}, "membership.kind"),
        (
            {"tiers": {"mode": "upgrade_only", "ladder": [{"tier": "a", "when": {"any": [{"points": 9}]}}]}},
            r"tiers\.ladder\.0\.when\.any\.0\.points",
        ),
    ],
)
def test_T9_what_is_not_built_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedError, match=named):
        compile_program(document(**changes))


def test_T2_conditions_compile_to_ways_and_gaps() -> None:
    when = {"all": [{"any": [{"growth": "399"}, {"orders": 3}]}, {"orders": 2}]}
    [tier] = compile_ladder([{"tier": "senior", "when": when}], 2).tiers
    assert tier.ways == (Way(39_900, 2), Way(None, 3))
    assert [way.gap(30_000, 1) for way in tier.ways] == [Way(9_900, 1), Way(None, 2)]
    assert [way.gap(99_999, 9) for way in tier.ways] == [Way(0, 0), Way(None, 0)]


# --- Any order of arrival, many orders ------------------------------------------------------------------

DOCUMENTS = [
    (document(),),
    (document(membership={"kind": "open", "earn_from": "enrolment"}),),
    (
        document(),
        with_ladder(
            [
                {"tier": "regular", "when": {"orders": 2}},
                {"tier": "gold", "when": {"any": [{"growth": "500"}, {"orders": 4}]}},
                {"tier": "vip", "when": {"growth": "600"}},
            ],
            version="2026.2",
            effective_from="2026-01-06T00:00:00+08:00",
            membership={"kind": "open", "earn_from": "enrolment"},
        ),
    ),
]

entries = st.builds(
    Entry,
    at=st.integers(0, 12).map(on),
    amount=st.sampled_from([-40_000, -10_000, -1, 0, 1, 9_900, 20_000, 39_899, 39_900, 68_800]),
    orders=st.sampled_from([-1, 0, 1]),
)
timelines = st.lists(st.tuples(st.sampled_from("abcdef"), st.lists(entries, max_size=4)), min_size=1, max_size=14)


@settings(deadline=None)
@given(timelines, st.permutations(range(14)), st.sampled_from(DOCUMENTS), st.none() | st.integers(0, 12))
def test_O6_T9_any_order_of_arrival_with_duplicates_ends_in_the_naive_history(
    published: list[tuple[str, list[Entry]]],
    arrival: list[int],
    documents: tuple[dict[str, Any], ...],
    enrolment: int | None,
) -> None:
    in_turn, shuffled = Buyer(*documents), Buyer(*documents)
    for version, (order_id, rows) in enumerate(published):
        in_turn.order(order_id, *rows, version=version)
    if enrolment is not None:
        in_turn.enrolled(enrolment)
        shuffled.enrolled(12)
    for index in [*arrival, *arrival[:3]]:
        if index < len(published):
            shuffled.order(published[index][0], *published[index][1], version=index)
        if index == 0 and enrolment is not None:
            shuffled.enrolled(enrolment)
    assert in_turn.history == shuffled.history == in_turn.naive()
    assert in_turn.member.position == shuffled.member.position


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3 * MAX_OPEN_ORDERS), st.integers(-3, 3)), max_size=25),
    st.sampled_from(DOCUMENTS),
)
def test_T9_settling_old_orders_never_changes_a_history(
    late: list[tuple[int, int]], documents: tuple[dict[str, Any], ...]
) -> None:
    buyer = Buyer(*documents)
    buyer.enrolled(0.5)
    amounts = {}
    for number in range(2 * MAX_OPEN_ORDERS):
        amounts[number] = Entry(on(number / 10), 700 + number, 1)
        buyer.order(str(number), amounts[number])
    assert len(buyer.stored) >= 2 * MAX_OPEN_ORDERS - MAX_OPEN_ORDERS
    for number, shift in late:
        entry = amounts.get(number, Entry(on(number / 10), 700 + number, 1))
        buyer.order(str(number), entry, Entry(later(entry.at, shift * DAY), -500, 0))
    assert buyer.history == buyer.naive()
    buyer.enrolled(0.25)
    assert buyer.history == buyer.naive()


def test_T9_a_member_with_a_thousand_orders_stays_small_and_reads_on() -> None:
    buyer = Buyer()
    for number in range(1_000):
        buyer.order(str(number), bought(number / 10, "1"))
    assert len(buyer.member.orders) <= MAX_OPEN_ORDERS
    assert len(buyer.member.orders) >= KEPT_OPEN_ORDERS
    assert len(msgspec.msgpack.encode(buyer.member)) < 4_096
    assert buyer.fetched_all == 0
    # A refund of the very first order is dated after the settled entries, so nothing is fetched.
    buyer.order("0", bought(0, "1"), Entry(on(101), -100, -1))
    assert buyer.fetched_all == 0
    assert (buyer.member.position.growth, buyer.member.position.orders) == (99_900, 999)
    # A refund dated among the settled entries fetches all of them.
    buyer.order("0", bought(0, "1"), Entry(on(1), -100, -1))
    assert buyer.fetched_all == 1
    assert buyer.history == buyer.naive() == history_of_a_yuan_each_tenth_of_a_day()


def history_of_a_yuan_each_tenth_of_a_day() -> list[tuple[str, Micros]]:
    """¥1 at each tenth of a day from day 0, the first refunded on day 1: order n (from 0) makes growth n."""
    crossings: Iterable[tuple[str, int]] = [("regular", 0), ("senior", 399), ("vip", 688), ("supreme", 888)]
    return [(tier, on(number / 10)) for tier, number in crossings]
