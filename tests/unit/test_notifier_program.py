"""The policy that messages need, compiled from the program document."""

from __future__ import annotations

from services.notifier.domain.occasions import TOUCHPOINTS
from services.notifier.program import span
from tests.unit.test_notifier_texts import POLICY


def test_the_policy_of_the_default_program() -> None:
    assert POLICY.joining_points == 20
    assert POLICY.sign_in_points == 5
    assert POLICY.review_points == 20
    assert [tier.growth for tier in POLICY.ladder] == [None, "399", "688", "888"]
    assert POLICY.touchpoints["points-confirmed"].not_after == span("3d")
    assert set(POLICY.touchpoints) == set(TOUCHPOINTS) - {"tier-downgraded"}


def test_spans_are_microseconds() -> None:
    assert span("12h") == 43_200_000_000
    assert span("3d") == 259_200_000_000
