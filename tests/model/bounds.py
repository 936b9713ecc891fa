"""O12: how much a fact may say, and how much a member may have."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

ORDER = 10**12
"""An order's lines, shipping and tax together stay below it, and so does a member's growth value."""
MOST = 2**53 - 1
ROOM = 10**9
"""What facts and commands leave free of `MOST`."""
LARGE = 10**8
"""What says at least this may reach a bound; below it nothing is looked at, since looking takes long."""


def of_order(data: dict[str, Any]) -> Fraction:
    """An order's lines, shipping and tax together."""
    amounts = [line["amount"] for line in data["lines"]] + [data.get("shipping", 0), data.get("tax", 0)]
    return sum((Fraction(amount) for amount in amounts), Fraction())


def is_large(said: Any) -> bool:
    """Whether a fact says a large number of anything."""
    if isinstance(said, dict):
        return any(is_large(each) for each in said.values())
    if isinstance(said, list):
        return any(is_large(each) for each in said)
    return str(said).partition(".")[0].isdecimal() and int(str(said).partition(".")[0]) >= LARGE
