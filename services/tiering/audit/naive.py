"""Tier histories computed the plain way, to check the fold against.

Nothing is kept from one instant to the next, and the conditions are read from the program document itself: at every
instant that an entry bears, all entries up to then are added up, and the tiers are tried from the highest down.
It shares no code with `domain.history` and `domain.ladder`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from services.kit.calendar import Micros, parse_rfc3339
from services.kit.money import exponent
from services.tiering.domain.timeline import Entry

History = list[tuple[str, Micros]]
"""Tiers with their effective times, oldest first."""

Dated = Sequence[tuple[Micros, Mapping[str, Any]]]
"""Program documents with the instant each takes effect, oldest first."""


def naive_history(
    documents: Sequence[Mapping[str, Any]], enrolled_at: Micros | None, orders: Iterable[Sequence[Entry]]
) -> History:
    """The history that dated entries make under program documents (T1, T2, T9, T10)."""
    entries = [entry for order in orders for entry in order]
    dated = sorted(
        ((parse_rfc3339(document["effective_from"]), document) for document in documents),
        key=lambda pair: pair[0],
    )
    history: History = []
    rank = 0
    for instant in sorted({entry.at for entry in entries}):
        document = _in_force(dated, instant)
        counted = [
            entry
            for entry in entries
            if entry.at <= instant and _counts(_in_force(dated, entry.at), enrolled_at, entry.at)
        ]
        unit = Decimal(10) ** -exponent(document["currency"])
        growth = sum((entry.amount for entry in counted), 0) * unit
        successful = sum(entry.orders for entry in counted)
        ladder = document["tiers"]["ladder"]
        tiers = [row["tier"] for row in ladder]
        if history and history[-1][0] in tiers:
            rank = tiers.index(history[-1][0]) + 1
        rank = min(rank, len(tiers))
        earned = max((n for n, row in enumerate(ladder, 1) if _is_met(row["when"], growth, successful)), default=0)
        if earned > rank:
            rank = earned
            history.append((tiers[rank - 1], instant))
    return history


def _in_force(dated: Dated, instant: Micros) -> Mapping[str, Any]:
    """The document in force at an instant; the first covers all earlier times."""
    found = dated[0][1]
    for start, document in dated:
        if start <= instant:
            found = document
    return found


def _counts(document: Mapping[str, Any], enrolled_at: Micros | None, at: Micros) -> bool:
    if (document.get("membership") or {}).get("earn_from") != "enrolment":
        return True
    return enrolled_at is not None and at >= enrolled_at


def _is_met(when: Mapping[str, Any], growth: Decimal | int, successful: int) -> bool:
    for key, value in when.items():
        match key:
            case _ if value is None:
                continue
            case "growth":
                met = growth >= Decimal(str(value))
            case "orders":
                met = successful >= value
            case "any":
                met = any(_is_met(part, growth, successful) for part in value)
            case "all":
                met = all(_is_met(part, growth, successful) for part in value)
            case _:
                raise ValueError(f"unknown condition {key!r}")
        if not met:
            return False
    return True
