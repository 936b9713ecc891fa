"""What the generated shop sells, and orders of the size real ones have."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from services.kit.money import decimal_string

GIFT_CARD = "gift-card"

_GOODS = (
    ("TEA-LONGJING-100", "tea"),
    ("TEA-OOLONG-250", "tea"),
    ("TEA-PUER-357", "tea"),
    ("CUP-CELADON", "ceramics"),
    ("POT-GAIWAN", "ceramics"),
    ("VASE-TALL", "ceramics"),
    ("SCARF-SILK", "textiles"),
    ("QUILT-SPRING", "textiles"),
    ("NOTEBOOK-A5", "stationery"),
    ("PEN-BAMBOO", "stationery"),
    ("LAMP-PAPER", "home"),
    ("TRAY-WALNUT", "home"),
)
# Shares of orders by total, in whole units of the currency, as a real gift shop has them.
_TOTALS = ((0.33, 20, 200), (0.56, 200, 800), (0.11, 800, 3000))
# The band's edges are where arithmetic goes wrong, so each of them is sold once in a while.
_EDGES = ("199.99", "200.00", "800.00", "800.01")
_EDGE_SHARE = 0.02
_MIN_LINE = 100


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an order; amounts in minor units."""

    line_id: str
    sku: str
    category: str
    quantity: int
    amount: int
    discount: int

    def data(self, decimals: int) -> dict[str, Any]:
        """The line as `commerce.order.paid.v1` carries it."""
        fields: dict[str, Any] = {
            "line_id": self.line_id,
            "sku": self.sku,
            "category": self.category,
            "quantity": self.quantity,
            "amount": decimal_string(self.amount, decimals),
        }
        if self.discount:
            fields["discount"] = decimal_string(self.discount, decimals)
        return fields


def draw_lines(rng: random.Random, decimals: int) -> list[Line]:
    """The lines of one order: 1 to 5 of them, now and then a gift card or a discount."""
    total = _draw_total(rng, decimals)
    count = min(rng.choices((1, 2, 3, 4, 5), (30, 30, 20, 12, 8))[0], total // _MIN_LINE)
    lines = []
    for position, amount in enumerate(_split(rng, total, count), start=1):
        sku, category = rng.choice(_GOODS)
        if count > 1 and position == count and rng.random() < 0.1:
            sku, category = "GIFT-CARD", GIFT_CARD
        quantity = rng.choices((1, 2, 3), (70, 20, 10))[0]
        discount = amount // 10 if rng.random() < 0.1 else 0
        lines.append(Line(str(position), sku, category, quantity, amount, discount))
    return lines


def _draw_total(rng: random.Random, decimals: int) -> int:
    scale: int = 10**decimals
    if rng.random() < _EDGE_SHARE:
        return int(Decimal(rng.choice(_EDGES)) * scale)
    _, low, high = rng.choices(_TOTALS, [share for share, _, _ in _TOTALS])[0]
    # Small totals are more frequent than large ones inside a band, too.
    return int(low * math.pow(high / low, rng.random())) * scale + rng.randrange(scale)


def _split(rng: random.Random, total: int, count: int) -> list[int]:
    """`total` as `count` amounts of at least one `_MIN_LINE` each."""
    spare = total - count * _MIN_LINE
    cuts = sorted(rng.randint(0, spare) for _ in range(count - 1))
    return [_MIN_LINE + end - start for start, end in zip([0, *cuts], [*cuts, spare], strict=True)]
