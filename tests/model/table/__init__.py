"""The table of hand-computed examples: every figure of the rules that are built, by the rule's code.

The arithmetic stands beside each figure. The model is held to all of it, the ledger to `CASES`: what `OF_THE_MODEL`
shows is what only one member alone can have.
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
    *checkouts.SPENT_MEANWHILE,
    *redemptions.CASES,
    *negative.CASES,
    *lot_days.CASES,
    *multipliers.CASES,
    *transfers.CASES,
]

OF_THE_MODEL: list[Case] = [
    multipliers.BY_PAID_TIME,
]

__all__ = ["CASES", "OF_THE_MODEL", "Case", "Then"]
