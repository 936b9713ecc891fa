"""Alarms: what is odd about an order, so that a person should look at it. They stand on the order (O10)."""

from __future__ import annotations

from typing import Literal

import msgspec

from services.kit.calendar import Micros

AlarmKind = Literal[
    "told_differently",
    "cancelled_but_going_on",
    "revised_after_refund",
    "unknown_line",
    "refund_beyond_line",
    "value_beyond_order",
    "points_beyond_program",
    "points_short",
    "clawback_under_review",
]
"""told_differently: two events about one fact contradict each other (O10) · cancelled_but_going_on: the order goes on
after the cancellation that holds (O10) · revised_after_refund: a revision and a refund may be one deduction (O11) ·
unknown_line, refund_beyond_line: a refund of more than there is (R11) · value_beyond_order (P2) · points_beyond_program
(P8) · points_short: points used were not there (P7) · clawback_under_review: somebody has to decide (R6)."""


class Alarm(msgspec.Struct, frozen=True, array_like=True):
    """What is odd, in words, and the business time of what made it so."""

    kind: AlarmKind
    detail: str
    at: Micros
