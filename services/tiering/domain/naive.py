"""Tier histories computed the plain way, to check the fold against.

Nothing is kept from one reading to the next, and the conditions are read from the program document itself:
for every instant at which something is dated, all entries up to then are added up, and the steps are asked
from the top. It shares no code with `history` and `ladder`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from services.kit.calendar import Micros, parse_rfc3339
from services.kit.money import exponent
from services.tiering.domain.history import Entry

History = list[tuple[str, Micros]]
"""Tiers with their effective times, oldest first."""


def naive_history(
    documents: Sequence[Mapping[str, Any]], enrolled_at: Micros | None, orders: Iterable[Sequence[Entry]]
) -> History:
    """The history that dated entries make under program documents (T1, T2, T9, T10)."""
    entries = [entry for order in orders for entry in order]
    started = sorted(
        ((parse_rfc3339(document["effective_from"]), document) for document in documents),
        key=lambda pair: pair[0],
    )
    history: History = []
    held_rank = 0
    for instant in sorted({entry.at for entry in entries}):
        document = _in_force(started, instant)
        counted = [
            entry
            for entry in entries
            if entry.at <= instant and _counts(_in_force(started, entry.at), enrolled_at, entry.at)
        ]
        unit = Decimal(10) ** -exponent(document["currency"])
        growth = sum((entry.amount for entry in counted), 0) * unit
        successful = sum(entry.orders for entry in counted)
        tiers = [step["tier"] for step in document["tiers"]["ladder"]]
        if history and history[-1][0] in tiers:
            held_rank = tiers.index(history[-1][0]) + 1
        held_rank = min(held_rank, len(tiers))
        for step in reversed(document["tiers"]["ladder"]):
            if _holds(step["when"], growth, successful):
                if tiers.index(step["tier"]) + 1 > held_rank:
                    held_rank = tiers.index(step["tier"]) + 1
                    history.append((step["tier"], instant))
                break
    return history


def _in_force(started: Sequence[tuple[Micros, Mapping[str, Any]]], instant: Micros) -> Mapping[str, Any]:
    """The document in force at an instant; the first covers all earlier times."""
    found = started[0][1]
    for start, document in started:
        if start <= instant:
            found = document
    return found


def _counts(document: Mapping[str, Any], enrolled_at: Micros | None, at: Micros) -> bool:
    if (document.get("membership") or {}).get("earn_from") != "enrolment":
        return True
    return enrolled_at is not None and at >= enrolled_at


def _holds(when: Mapping[str, Any], growth: Decimal | int, successful: int) -> bool:
    for key, asked in when.items():
        match key:
            case _ if asked is None:
                continue
            case "growth":
                held = growth >= Decimal(str(asked))
            case "orders":
                held = successful >= asked
            case "any":
                held = any(_holds(part, growth, successful) for part in asked)
            case "all":
                held = all(_holds(part, growth, successful) for part in asked)
            case _:
                raise ValueError(f"unknown condition {key!r}")
        if not held:
            return False
    return True
