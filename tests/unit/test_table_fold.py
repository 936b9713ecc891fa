"""The fold satisfies the table of hand-computed examples, as the naive model does."""

from __future__ import annotations

import pytest

from tests.model.result import mismatches
from tests.model.table import CASES, Case, Then
from tests.unit.ledger_member import MemoryLedger


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_the_fold_gives_the_figures_of(case: Case) -> None:
    ledger = MemoryLedger(case.programs, tiers=case.tiers)
    expected = 0
    for step in case.history():
        if isinstance(step, Then):
            assert not mismatches(ledger.result(), step.expected), f"at the {expected + 1}. expectation"
            expected += 1
        else:
            ledger.take(step)
    assert expected, "a case says what it expects"
