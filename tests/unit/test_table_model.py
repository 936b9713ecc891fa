"""The naive model satisfies the table of hand-computed examples."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.model.model import Model
from tests.model.result import mismatches
from tests.model.table import CASES, OF_THE_MODEL, Case, Then
from tests.rules import RULES

OF_POINTS = {code for code in RULES if code[0] in "NRPEDOFXBZ"} | {"T1", "T2", "T3", "T8", "T9", "T10"}
"""The rules that a history of one member shows."""


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in [*CASES, *OF_THE_MODEL]])
def test_the_model_gives_the_figures_of(case: Case) -> None:
    model = Model(case.programs, tiers=case.tiers)
    expected = 0
    for step in case.history():
        if isinstance(step, Then):
            assert not mismatches(model.result(), step.expected), f"at the {expected + 1}. expectation"
            expected += 1
        else:
            model.take(step)
    assert expected, "a case says what it expects"


def test_every_rule_of_points_has_a_case_and_every_case_a_name_of_its_own() -> None:
    cases = [*CASES, *OF_THE_MODEL]
    assert {case.code for case in cases} == OF_POINTS
    assert not [name for name, times in Counter(case.id for case in cases).items() if times > 1]
