"""Whether members may give points away, and how many (X1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Giving:
    """What one program version says of points that members give to each other; None is without a limit."""

    allowed: bool = True
    minimum: int = 1
    per_day: int | None = None
    per_month: int | None = None

    @property
    def is_limited(self) -> bool:
        """Whether what was given on a day, or in a month, has to be known."""
        return self.per_day is not None or self.per_month is not None


def compile_giving(document: Mapping[str, Any]) -> Giving:
    """What a validated document says of transfers; nothing is without limits."""
    transfers = document.get("transfers")
    if transfers is None:
        return Giving()
    return Giving(
        transfers["allowed"], transfers.get("minimum") or 1, transfers.get("per_day"), transfers.get("per_month")
    )
