"""What an entry is about, as one text: `shop/order_id` for an order, `kind:id` for any other fact.

Refs are stored with the entries and are part of the chain's hashes, so they never change. Most facts have their key
(`fact_keys`) as their ref; the others, and orders, have a ref that is made here.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from services.kit.calendar import Day

REWARD: Final = "reward:"
CAMPAIGN: Final = "campaign:"
OWN: Final = (REWARD, CAMPAIGN)
"""Account ids that begin so belong to no member: each such account keeps what all members share, a stock or a budget.
"""

_ESCAPES = {"%": "%25", "/": "%2F", ":": "%3A"}


def order_ref(shop: str, order_id: str) -> str:
    """The ref of an order; the shop's part has no `/` or `:`, so it is never mistaken for another fact."""
    if "/" in shop or ":" in shop or "%" in shop:
        shop = "".join(_ESCAPES.get(character, character) for character in shop)
    return f"{shop}/{order_id}"


def order_of(ref: str) -> tuple[str, str] | None:
    """(shop, order_id) of an order's ref; None for that of another fact."""
    shop, slash, order_id = ref.partition("/")
    if not slash or ":" in shop:
        return None
    if "%" in shop:
        for character, escape in reversed(_ESCAPES.items()):
            shop = shop.replace(escape, character)
    return shop, order_id


def activity_ref(activity: str, activity_id: str) -> str:
    """The ref of an activity."""
    return f"{activity}:{activity_id}"


def sign_in_ref(day: Day) -> str:
    """The ref of a day's sign-in."""
    return f"sign-in:{date.fromordinal(day).isoformat()}"


def streak_ref(day: Day) -> str:
    """The ref of the streak step that is reached on a day."""
    return f"streak:{date.fromordinal(day).isoformat()}"


def repaired_day_ref(day: Day) -> str:
    """The ref of a missed day that was bought."""
    return f"made-up:{date.fromordinal(day).isoformat()}"
