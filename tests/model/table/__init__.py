"""The table of hand-computed examples: every figure of the rules that are built, by the rule's code.

The arithmetic stands beside each figure. Model and ledger are both held to it.
"""

from tests.model.table import (
    bonus,
    clawbacks,
    completion,
    disorder,
    earning,
    expiry,
    owing,
    points_used,
    refunds,
    tiers,
)
from tests.model.table.case import Case, Then

CASES: list[Case] = [
    *earning.CASES,
    *refunds.CASES,
    *clawbacks.CASES,
    *bonus.CASES,
    *points_used.CASES,
    *owing.CASES,
    *expiry.CASES,
    *disorder.CASES,
    *completion.CASES,
    *tiers.CASES,
]

__all__ = ["CASES", "Case", "Then"]
