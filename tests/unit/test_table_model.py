"""The naive model satisfies the table of hand-computed examples."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.model.model import Model
from tests.model.result import mismatches
from tests.model.table import AHEAD, CASES, LATER, Case, Then

COVERED = (
    *("N1", "N2", "N3", "N4", "N5", "N6"),
    *("R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10", "R11"),
    *("P1", "P2", "P3", "P4", "P5", "P6", "P7"),
    *("E1", "E2", "E3", "E4", "E5", "E6", "E7"),
    *("D1", "D2", "D3", "D4", "D5", "D6"),
    *("O1", "O2", "O3", "O4", "O5", "O6", "O7", "O8", "O9"),
    *("B1", "B2"),
    *("T1", "T2", "T3", "T8", "T9", "T10"),
)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in [*CASES, *AHEAD, *LATER]])
def test_the_model_gives_the_figures_of(case: Case) -> None:
    model = Model(case.given, tiers=case.tiers)
    expected = 0
    for step in case.history():
        if isinstance(step, Then):
            assert not mismatches(model.result(), step.expected), f"at the {expected + 1}. expectation"
            expected += 1
        else:
            model.take(step)
    assert expected, "a case says what it expects"


def test_every_rule_has_a_case_and_every_case_a_name_of_its_own() -> None:
    cases = [*CASES, *AHEAD, *LATER]
    assert {case.code for case in cases} == set(COVERED)
    assert not [name for name, times in Counter(case.id for case in cases).items() if times > 1]
