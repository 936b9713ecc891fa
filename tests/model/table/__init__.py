"""The table of hand-computed examples: every figure of the rules that are built, by the rule's code.

The arithmetic stands beside each figure. The model is held to all of it, the ledger to `CASES`: what `OF_THE_MODEL`
shows is what only one member alone can have.
"""

from tests.model.table import (
    account,
    activities,
    alarms,
    assessment,
    bonus,
    bounds,
    budgets,
    cancellations,
    caps,
    disorder,
    earning,
    enrolment,
    erasure,
    expiry,
    holds,
    multipliers,
    order_facts,
    order_parts,
    orders,
    posting,
    profile,
    program,
    redemptions,
    referrals,
    refunds,
    reviews,
    revisions,
    shortfalls,
    signins,
    sliding,
    tiers,
    transfers,
)
from tests.model.table.case import Case, Then

CASES: list[Case] = [
    *earning.CASES,
    *multipliers.CASES,
    *budgets.CASES,
    *caps.CASES,
    *refunds.CASES,
    *cancellations.CASES,
    *alarms.CASES,
    *revisions.CASES,
    *assessment.CASES,
    *order_parts.CASES,
    *posting.CASES,
    *account.CASES,
    *shortfalls.CASES,
    *bonus.CASES,
    *bounds.CASES,
    *referrals.CASES,
    *orders.CASES,
    *order_facts.CASES,
    *disorder.CASES,
    *holds.CASES,
    *redemptions.CASES,
    *expiry.CASES,
    *program.CASES,
    *sliding.CASES,
    *transfers.CASES,
    *tiers.CASES,
    *enrolment.CASES,
    *erasure.CASES,
    *profile.CASES,
    *reviews.CASES,
    *activities.CASES,
    *signins.CASES,
]

OF_THE_MODEL: list[Case] = [
    budgets.BY_PAID_TIME,
]

__all__ = ["CASES", "OF_THE_MODEL", "Case", "Then"]
