"""The ladder read over dated timelines: thresholds, jumps, summed instants, corrections of the past."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kit.calendar import parse_rfc3339
from services.tiering.domain.history import Entry, timeline
from services.tiering.domain.ladder import UnsupportedError, Way, compile_ladder
from services.tiering.domain.member import (
    KEPT_OPEN,
    OPEN_ORDERS,
    Cause,
    Decision,
    Enrolment,
    Input,
    Member,
    Need,
    Order,
    Qualified,
    decide,
    needs,
    order_key,
    settle,
)
from services.tiering.domain.naive import naive_history
from services.tiering.domain.program import Versions, compile_program

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


def on(day: float) -> int:
    """An instant so many days into 2026."""
    return JANUARY + round(day * DAY)


def bought(day: float, yuan: str) -> Entry:
    """A completed order of one line."""
    whole, _, cents = yuan.partition(".")
    return Entry(on(day), int(whole) * 100 + int(cents.ljust(2, "0")), 1)


class Told:
    """A member to whom orders are told one by one, as the executor does it: settled orders aside."""

    def __init__(self, *documents: dict[str, Any]) -> None:
        self.documents = documents or (document(),)
        self.versions = Versions([compile_program(d) for d in self.documents])
        self.member = Member()
        self.stored: dict[str, Order] = {}
        self.version = 0
        self.fetched_all = 0

    def order(self, order_id: str, *entries: Entry, version: int | None = None) -> Decision | None:
        self.version += 1
        number = self.version if version is None else version
        cause = Cause("loyalty.order.qualified.v1", "/loyalty/ledger", f"m:{number}:0", on(0), order_id)
        order = Order(number, 0, timeline(entries))
        return self.tell(Qualified("m", order_key("", order_id), order, cause))

    def enrolled(self, day: float) -> Decision | None:
        cause = Cause("commerce.member.registered.v1", "/shop", f"r{day}", on(day), None)
        return self.tell(Enrolment("m", cause))

    def tell(self, told: Input) -> Decision | None:
        settled: dict[str, Order] | None = None
        need = needs(self.versions, self.member, told, settled)
        if need == Need.ORDER:
            assert isinstance(told, Qualified)
            settled = {key: order for key, order in self.stored.items() if key == told.key}
            need = needs(self.versions, self.member, told, settled)
        if need == Need.ALL:
            self.fetched_all += 1
            settled = dict(self.stored)
        decision = decide(self.versions, self.member, told, settled or {}, whole=need == Need.ALL)
        self.stored.update(settle(self.member, self.versions))
        raw = msgspec.msgpack.encode(self.member)
        self.member = msgspec.msgpack.decode(raw, type=Member)
        return decision

    @property
    def tier(self) -> str:
        return self.member.position.tier

    @property
    def history(self) -> list[tuple[str, int]]:
        return [(reached.tier, reached.effective_at) for reached in self.member.position.reached]

    def naive(self) -> list[tuple[str, int]]:
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
    told = Told()
    told.order("17", bought(1, yuan))
    assert told.tier == tier


def test_T2_growth_without_a_successful_order_and_below_all_thresholds_is_no_tier() -> None:
    told = Told()
    told.order("17", Entry(on(1), 39_899, 0))
    assert told.tier == "none"
    assert told.member.position.growth == 39_899


def test_T2_one_order_jumps_tiers_and_is_told_once_for_the_last() -> None:
    told = Told()
    told.order("1", bought(1, "10"))
    decision = told.order("2", bought(2, "1000"))
    assert decision is not None
    [fact] = decision.facts
    assert (fact.kind, fact.previous_tier, fact.tier) == ("upgraded", "regular", "supreme")
    assert told.history == [("regular", on(1)), ("supreme", on(2))]


def test_T2_an_order_whose_lines_complete_one_by_one_is_told_once_with_each_tier_dated() -> None:
    told = Told()
    decision = told.order("1", Entry(on(1), 40_000, 0), Entry(on(2), 50_000, 1))
    assert decision is not None
    [fact] = decision.facts
    assert (fact.kind, fact.previous_tier, fact.tier, fact.effective_at) == (
        "upgraded", "none", "supreme", on(2),
    )  # fmt: skip
    assert told.history == [("senior", on(1)), ("supreme", on(2))]


def test_T2_the_third_successful_order_meets_an_orders_condition_whatever_was_spent() -> None:
    ladder = [
        {"tier": "regular", "when": {"orders": 1}},
        {"tier": "senior", "when": {"any": [{"growth": "399"}, {"orders": 3}]}},
    ]
    told = Told(with_ladder(ladder))
    told.order("1", bought(1, "1"))
    told.order("2", bought(2, "1"))
    assert told.tier == "regular"
    told.order("3", bought(3, "1"))
    assert told.history == [("regular", on(1)), ("senior", on(3))]


def test_T2_all_asks_for_every_part() -> None:
    ladder = [{"tier": "senior", "when": {"all": [{"growth": "100"}, {"orders": 2}]}}]
    told = Told(with_ladder(ladder))
    told.order("1", bought(1, "500"))
    assert told.tier == "none"
    told.order("2", bought(2, "0.01"))
    assert told.history == [("senior", on(2))]


def test_T1_the_highest_step_whose_own_condition_holds_counts_even_if_one_below_does_not() -> None:
    ladder = [
        {"tier": "regular", "when": {"orders": 5}},
        {"tier": "senior", "when": {"growth": "399"}},
    ]
    told = Told(with_ladder(ladder))
    told.order("1", bought(1, "399"))
    assert told.tier == "senior"


# --- T1: effective times, entries of one instant ------------------------------------------------------


def test_T1_the_tier_takes_effect_when_the_crossing_entry_is_dated_not_when_it_arrives() -> None:
    told = Told()
    told.order("1", bought(3, "600"))
    decision = told.order("2", bought(9, "300"))
    assert decision is not None
    assert decision.facts[0].effective_at == on(9)
    assert told.history == [("senior", on(3)), ("supreme", on(9))]


def test_T1_entries_of_one_instant_are_summed_over_all_orders_first() -> None:
    told = Told()
    told.order("1", bought(1, "300"))
    told.order("2", Entry(on(2), -5_000, 0), bought(2, "120"))
    told.order("3", Entry(on(2), 2_899, 0))
    assert told.history == [("regular", on(1))]  # 300 + 120 − 50 + 28.99 = 398.99 at that instant
    told.order("4", Entry(on(2), 1, 0))
    assert told.history == [("regular", on(1)), ("senior", on(2))]


def test_T1_a_refund_of_the_crossing_instant_undoes_the_crossing_in_either_order() -> None:
    crossing, refund = bought(2, "399"), Entry(on(2), -1, 0)
    one, other = Told(), Told()
    one.order("1", crossing)
    decision = one.order("2", refund)
    other.order("2", refund)
    other.order("1", crossing)
    assert one.history == other.history == [("regular", on(2))]
    assert decision is not None
    assert decision.facts[0].kind == "downgraded"


# --- T3, R8: what was reached stays; late facts correct the past --------------------------------------


def test_T3_R8_a_tier_reached_in_business_time_stays_after_a_refund() -> None:
    told = Told()
    told.order("1", bought(1, "700"))
    assert told.order("1", bought(1, "700"), Entry(on(5), -70_000, -1)) is None
    assert told.tier == "vip"
    assert (told.member.position.growth, told.member.position.orders) == (0, 0)


def test_T9_a_late_refund_from_before_the_crossing_takes_the_tier_back() -> None:
    told = Told()
    told.order("1", bought(1, "200"))
    told.order("2", bought(4, "200"))
    assert told.tier == "senior"
    decision = told.order("1", bought(1, "200"), Entry(on(2), -10_000, 0))
    assert decision is not None
    [fact] = decision.facts
    assert (fact.kind, fact.previous_tier, fact.tier, fact.effective_at) == (
        "downgraded", "senior", "regular", on(1),
    )  # fmt: skip
    assert told.history == [("regular", on(1))]


def test_T9_a_correction_to_no_tier_is_told_too() -> None:
    told = Told()
    told.order("1", bought(1, "50"))
    decision = told.order("1")
    assert decision is not None
    assert (decision.facts[0].kind, decision.facts[0].tier) == ("downgraded", "none")
    assert told.history == []


def test_T9_a_late_order_moves_a_tier_back_in_time_and_is_told_as_kept() -> None:
    told = Told()
    told.order("2", bought(9, "399"))
    decision = told.order("1", bought(2, "5"))
    assert decision is not None
    [fact] = decision.facts
    assert (fact.kind, fact.tier, fact.effective_at) == ("kept", "senior", on(9))
    assert told.history == [("regular", on(2)), ("senior", on(9))]


def test_T9_a_telling_replaces_what_was_told_of_that_order_and_an_older_one_is_dropped() -> None:
    told = Told()
    told.order("1", bought(1, "700"), version=7)
    told.order("1", bought(1, "399"), version=8)
    assert told.order("1", bought(1, "700"), version=7) is None
    assert told.order("1", bought(1, "399"), version=8) is None
    assert told.tier == "senior"


def test_T9_versions_go_by_order_so_that_a_letter_driven_again_still_counts() -> None:
    told = Told()
    told.order("2", bought(2, "10"), version=9)
    told.order("1", bought(1, "500"), version=5)
    assert told.history == [("senior", on(1))]


def test_T9_growth_that_changes_no_tier_is_told_to_nobody() -> None:
    told = Told()
    told.order("1", bought(1, "10"))
    assert told.order("2", bought(2, "10")) is None
    assert told.member.position.growth == 2_000
    assert told.member.version == 1


def test_T9_the_version_in_force_at_an_entry_judges_it() -> None:
    lower = [{"tier": "regular", "when": {"orders": 1}}, {"tier": "senior", "when": {"growth": "100"}}]
    later = with_ladder(lower, version="2026.2", effective_from="2026-01-11T00:00:00+08:00")
    told = Told(document(), later)
    told.order("1", bought(5, "150"))
    assert told.tier == "regular"
    decision = told.order("2", bought(10, "1"))
    assert decision is not None
    assert decision.program_version == "2026.2"
    assert told.history == [("regular", on(5)), ("senior", on(10))]


def test_T9_a_tier_that_a_later_ladder_no_longer_names_keeps_its_rank() -> None:
    later = with_ladder(
        [{"tier": "silver", "when": {"growth": "1"}}, {"tier": "gold", "when": {"growth": "1000"}}],
        version="2026.2",
        effective_from="2026-01-11T00:00:00+08:00",
    )
    told = Told(document(), later)
    told.order("1", bought(5, "399"))
    told.order("2", bought(12, "10"))
    told.order("3", bought(13, "1000"))
    assert told.history == [("senior", on(5))]
    assert told.history == told.naive()


# --- T10: membership ----------------------------------------------------------------------------------


def test_T10_registering_enrols_once_at_the_least_time_told() -> None:
    told = Told()
    first = told.enrolled(5)
    assert first is not None
    assert [(fact.kind, fact.effective_at) for fact in first.facts] == [("enrolled", on(5))]
    assert told.enrolled(7) is None
    assert told.enrolled(3) is None
    assert told.member.enrolled_at == on(3)


def test_T10_who_only_orders_is_a_member_without_being_enrolled() -> None:
    told = Told()
    decision = told.order("1", bought(1, "399"))
    assert decision is not None
    assert [fact.kind for fact in decision.facts] == ["upgraded"]
    assert told.member.enrolled_at is None
    enrolled = told.enrolled(5)
    assert enrolled is not None
    assert [fact.kind for fact in enrolled.facts] == ["enrolled"]
    assert told.tier == "senior"


def test_T10_growth_may_count_from_the_enrolment_on() -> None:
    told = Told(document(membership={"kind": "open", "earn_from": "enrolment"}))
    told.order("1", bought(1, "700"))
    told.order("2", bought(9, "400"))
    assert told.tier == "none"
    decision = told.enrolled(5)
    assert decision is not None
    assert [(fact.kind, fact.event_no, fact.tier) for fact in decision.facts] == [
        ("enrolled", 0, "senior"),
        ("upgraded", 1, "senior"),
    ]
    told.enrolled(1)
    assert told.history == [("vip", on(1)), ("supreme", on(9))]


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
    [step] = compile_ladder([{"tier": "senior", "when": when}], 2).steps
    assert step.ways == (Way(39_900, 2), Way(None, 3))
    assert [way.gap(30_000, 1) for way in step.ways] == [Way(9_900, 1), Way(None, 2)]
    assert [way.gap(99_999, 9) for way in step.ways] == [Way(0, 0), Way(None, 0)]


# --- Any order of telling, many orders ------------------------------------------------------------------

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
tellings = st.lists(st.tuples(st.sampled_from("abcdef"), st.lists(entries, max_size=4)), min_size=1, max_size=14)


@settings(deadline=None)
@given(tellings, st.permutations(range(14)), st.sampled_from(DOCUMENTS), st.none() | st.integers(0, 12))
def test_O6_T9_any_order_of_telling_with_duplicates_ends_in_the_naive_history(
    told: list[tuple[str, list[Entry]]],
    arrival: list[int],
    documents: tuple[dict[str, Any], ...],
    enrolment: int | None,
) -> None:
    in_turn, shuffled = Told(*documents), Told(*documents)
    for version, (order_id, rows) in enumerate(told):
        in_turn.order(order_id, *rows, version=version)
    if enrolment is not None:
        in_turn.enrolled(enrolment)
        shuffled.enrolled(12)
    for index in [*arrival, *arrival[:3]]:
        if index < len(told):
            shuffled.order(told[index][0], *told[index][1], version=index)
        if index == 0 and enrolment is not None:
            shuffled.enrolled(enrolment)
    assert in_turn.history == shuffled.history == in_turn.naive()
    assert in_turn.member.position == shuffled.member.position


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3 * OPEN_ORDERS), st.integers(-3, 3)), max_size=25),
    st.sampled_from(DOCUMENTS),
)
def test_T9_settling_old_orders_never_changes_a_history(
    late: list[tuple[int, int]], documents: tuple[dict[str, Any], ...]
) -> None:
    told = Told(*documents)
    told.enrolled(0.5)
    amounts = {}
    for number in range(2 * OPEN_ORDERS):
        amounts[number] = Entry(on(number / 10), 700 + number, 1)
        told.order(str(number), amounts[number])
    assert len(told.stored) >= 2 * OPEN_ORDERS - OPEN_ORDERS
    for number, shift in late:
        entry = amounts.get(number, Entry(on(number / 10), 700 + number, 1))
        told.order(str(number), entry, Entry(entry.at + shift * DAY, -500, 0))
    assert told.history == told.naive()
    told.enrolled(0.25)
    assert told.history == told.naive()


def test_T9_a_member_with_a_thousand_orders_stays_small_and_reads_on() -> None:
    told = Told()
    for number in range(1_000):
        told.order(str(number), bought(number / 10, "1"))
    assert len(told.member.orders) <= OPEN_ORDERS
    assert len(told.member.orders) >= KEPT_OPEN
    assert len(msgspec.msgpack.encode(told.member)) < 4_096
    assert told.fetched_all == 0
    # A refund of the very first order counts from now on; the settled past is as it was.
    told.order("0", bought(0, "1"), Entry(on(101), -100, -1))
    assert told.fetched_all == 0
    assert (told.member.position.growth, told.member.position.orders) == (99_900, 999)
    # One that belongs to the past reads all of it anew.
    told.order("0", bought(0, "1"), Entry(on(1), -100, -1))
    assert told.fetched_all == 1
    assert told.history == told.naive() == history_of_a_yuan_each_tenth_of_a_day()


def history_of_a_yuan_each_tenth_of_a_day() -> list[tuple[str, int]]:
    """¥1 at each tenth of a day from day 0, the first refunded on day 1: order n (from 0) makes growth n."""
    crossings: Iterable[tuple[str, int]] = [("regular", 0), ("senior", 399), ("vip", 688), ("supreme", 888)]
    return [(tier, on(number / 10)) for tier, number in crossings]
