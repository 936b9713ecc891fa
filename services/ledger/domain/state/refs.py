"""What an entry is about, as one text: `shop/order_id` for an order, `kind:key` for any other fact."""

from __future__ import annotations

from typing import Final

REWARD: Final = "reward:"
CAMPAIGN: Final = "campaign:"
OWN: Final = (REWARD, CAMPAIGN)
"""What the ids of accounts begin with that are no member's: each keeps what all members share, a stock or a budget."""

HOLD: Final = "hold:"
REDEMPTION: Final = "redemption:"

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


def hold_key(hold_id: str) -> str:
    """The ref of a hold, and its key among the member's facts."""
    return HOLD + hold_id


def redemption_key(redemption_id: str) -> str:
    """The ref of a redemption, and its key among the member's facts."""
    return REDEMPTION + redemption_id
