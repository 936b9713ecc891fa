"""What rules on a member's first order must not say: the bonus for it, and referrals (F2, F3)."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.currencies import decimals_of, has_more_decimals
from schemas.program.earning import FirstOrderRule, ReferralRule
from schemas.program.problems import Finding, Path


def first_order_errors(rule: FirstOrderRule | ReferralRule, path: Path, currency: str) -> Iterator[Finding]:
    """A least spend that no amount of the currency is, and a cap of nothing."""
    if rule.min_spend is not None and has_more_decimals(rule.min_spend, currency):
        yield Finding((*path, "min_spend"), f"{currency} has {decimals_of(currency)} decimals", "round the amount")
    if isinstance(rule, ReferralRule) and rule.cap is not None and not rule.referrer:
        message = "it caps what the referrer gets, and that is nothing"
        yield Finding((*path, "cap"), message, "leave it out, or raise `referrer`")
