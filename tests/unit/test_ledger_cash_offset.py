"""How many points may pay a part of an order: no more than the limits allow, and not a step less."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger.domain.program.cash_offset import CashOffset, compile_cash_offset

shares = st.integers(0, 100).map(lambda percent: Fraction(percent, 100))
offsets = st.builds(CashOffset, st.sampled_from([1, 7, 50, 100]), st.integers(0, 500), st.integers(1, 120), shares)


@given(offsets, st.integers(0, 5_000), st.integers(0, 20_000), st.sampled_from([0, 2, 3]))
def test_the_most_is_allowed_and_a_step_more_is_not(
    offset: CashOffset, available: int, payable: int, decimals: int
) -> None:
    most = offset.max_points(available, payable, decimals)

    def fits(points: int) -> bool:
        return points <= available and Fraction(points * 10**decimals, offset.points_per_unit) <= int(
            offset.max_share * payable
        )

    assert fits(most)
    assert most == 0 or offset.objection(most) is None
    least = max(offset.step, -(-offset.minimum // offset.step) * offset.step)
    assert not fits(most + offset.step if most else least)


@pytest.mark.parametrize(
    ("available", "payable", "most"),
    [
        (1_900, 10_000, 1_900),
        (10_000, 10_000, 5_000),
        (10_000, 199, 0),
        (10_000, 200, 100),
        (149, 10_000, 100),
        (99, 10_000, 0),
    ],
)
def test_P1_of_an_order_half_may_be_paid_in_hundreds(available: int, payable: int, most: int) -> None:
    limits = {"points_per_unit": 100, "minimum": 100, "step": 100, "max_share": "0.5"}
    offset = compile_cash_offset({"redeem": {"cash_offset": limits}})
    assert offset is not None
    assert offset.max_points(available, payable, 2) == most


@given(offsets, st.integers(0, 5_000), st.integers(0, 20_000), st.sampled_from([0, 2, 3]))
def test_mend_a06_P8_what_a_quote_lets_be_used_at_its_worth_is_never_beyond_the_program(
    offset: CashOffset, available: int, payable: int, decimals: int
) -> None:
    most = offset.max_points(available, payable, decimals)
    worth = most * 10**decimals // offset.points_per_unit
    if most:
        assert offset.covers(most, worth, payable, decimals)
        assert not offset.covers(most, worth + 1, payable, decimals)
    reached = offset.max_points(10**9, payable, decimals)
    assert not offset.covers(reached + offset.step, 0, payable, decimals)


@pytest.mark.parametrize(
    ("points", "value", "within"),
    [
        (500, 500, True),
        (500, 0, True),
        (500, 501, False),
        (50, 50, False),
        (550, 550, False),
        (5_000, 5_000, True),
        (5_100, 5_100, False),
        (5_100, 0, False),
    ],
)
def test_mend_a06_P8_of_an_order_of_100_yuan_half_may_be_paid_in_hundreds_at_a_cent_each(
    points: int, value: int, within: bool
) -> None:
    offset = CashOffset(100, 100, 100, Fraction(1, 2))
    assert offset.covers(points, value, 10_000, 2) is within


def test_a_program_that_says_nothing_of_it_has_no_limits() -> None:
    assert compile_cash_offset({}) is None
    assert compile_cash_offset({"redeem": {"rewards": []}}) is None
