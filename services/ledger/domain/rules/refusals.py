"""Why a command is refused. Each code is journalled and hashed, so it never changes; `answers` names its problem."""

from __future__ import annotations

from typing import Literal

from services.ledger.domain.state.outcome import Outcome

Refusal = Literal[
    "points_not_positive",
    "insufficient_points",
    "below_minimum",
    "off_step",
    "reference_used",
    "too_many_holds",
    "hold_unknown",
    "hold_over",
    "more_than_held",
    "redemption_unknown",
    "redemption_in_order",
    "more_than_left",
    "make_up_not_offered",
    "day_out_of_reach",
    "day_not_missed",
    "shortfall_unknown",
    "same_member",
    "receiver_unknown",
    "transfer_unknown",
    "transfers_not_allowed",
    "transfer_below_minimum",
    "beyond_day_limit",
    "beyond_month_limit",
    "reward_unknown",
    "reward_asked",
    "reward_drawn",
    "sold_out",
    "member_erased",
    "out_of_range",
]
"""Why a command was refused."""


def refused(why: Refusal, **figures: int) -> Outcome:
    """The outcome of a command that moves nothing. `figures` are the numbers that the problem's text names."""
    return Outcome("refused", why, figures=figures)
