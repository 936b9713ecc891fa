"""What tiering reads of the program: its ladder, and from when on growth counts, by business time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from services.kit.calendar import Micros, parse_rfc3339
from services.kit.money import exponent
from services.tiering.domain.ladder import Ladder, UnsupportedError, compile_ladder


class Program(msgspec.Struct, frozen=True):
    """One published version, compiled."""

    name: str
    version: str
    effective_from: Micros
    currency: str
    decimals: int
    """Decimals of the currency's amounts; growth is counted in its minor units."""
    from_enrolment: bool
    """Whether growth counts from the enrolment on (`earn_from: enrolment`) or from the first event (T10)."""
    ladder: Ladder


class ProgramVersions:
    """All known versions of the program. The business time of an entry chooses the version that applies to it."""

    def __init__(self, programs: Iterable[Program]) -> None:
        self._programs = sorted(programs, key=lambda program: program.effective_from)
        if not self._programs:
            raise ValueError("no program version is known")
        # The first version covers all earlier times.
        self._starts = [program.effective_from for program in self._programs[1:]]
        self.any_from_enrolment = any(program.from_enrolment for program in self._programs)
        """Whether the time of an enrolment can change a history at all."""

    def at(self, instant: Micros) -> Program:
        """The version in force at an instant."""
        return self._programs[bisect_right(self._starts, instant)] if self._starts else self._programs[0]


def compile_program(document: Mapping[str, Any]) -> Program:
    """A published document as tiering uses it; UnsupportedError names the part that is not built."""
    membership = document.get("membership") or {}
    tiers = document["tiers"]
    growth = tiers.get("growth") or {}
    _only("membership.kind", membership.get("kind", "open"), "open")
    _only("tiers.mode", tiers["mode"], "upgrade_only")
    _only("tiers.growth.counts", growth.get("counts", "qualifying_amount"), "qualifying_amount")
    _only("tiers.growth.after_days", growth.get("after_days", 0), 0)
    decimals = exponent(document["currency"])
    return Program(
        name=document["program"],
        version=str(document["version"]),
        effective_from=parse_rfc3339(document["effective_from"]),
        currency=document["currency"],
        decimals=decimals,
        from_enrolment=membership.get("earn_from", "first_event") == "enrolment",
        ladder=compile_ladder(tiers["ladder"], decimals),
    )


def _only(path: str, value: object, built: object) -> None:
    if value != built:
        raise UnsupportedError(f"{path}: {value!r} is not built, only {built!r}")
