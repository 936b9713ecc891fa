"""The table of hand-computed examples: every figure of the rules that are built, by the rule's code.

The arithmetic stands beside each figure. The model is held to all of it, the ledger to `CASES`: it does not do
yet what `AHEAD` shows.
"""

from tests.model.table import (
    bonus,
    checkouts,
    clawbacks,
    completion,
    disorder,
    earning,
    expiry,
    holds,
    lot_days,
    multipliers,
    negative,
    owing,
    points_used,
    redemptions,
    refunds,
    tiers,
    transfers,
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
    *holds.CASES,
    *checkouts.CASES,
    *checkouts.AHEAD,
    *redemptions.CASES,
    *negative.CASES,
    *lot_days.CASES,
    *multipliers.CASES,
]

AHEAD: list[Case] = [
    *transfers.CASES,
]

__all__ = ["AHEAD", "CASES", "Case", "Then"]
