"""Whether members may give points away, and how many (X1)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from schemas.program.fields import Part, PositivePoints
from schemas.program.problems import Finding


class Transfers(Part):
    """Whether members may give points to each other, and how many (X1). Without this part they may, without a limit."""

    allowed: bool
    minimum: PositivePoints | None = None
    """The fewest points that can be given at once."""
    per_day: PositivePoints | None = None
    """The most points that a member can give on one local day."""
    per_month: PositivePoints | None = None
    """The most points that a member can give in one calendar month."""


def transfer_errors(transfers: Transfers | None) -> Iterator[Finding]:
    """Limits where nothing can be given, and those that leave nothing that could be given, or that never count."""
    if transfers is None:
        return
    said = [name for name in ("minimum", "per_day", "per_month") if getattr(transfers, name) is not None]
    if not transfers.allowed:
        for name in said:
            yield Finding(("transfers", name), "members may not give points away at all", "leave it out")
        return
    for less, more in combinations(said, 2):
        if getattr(transfers, less) > getattr(transfers, more):
            message = f"`{less}` is above `{more}`: {getattr(transfers, less)} against {getattr(transfers, more)}"
            yield Finding(("transfers", less), message, f"use at most {getattr(transfers, more)}")
