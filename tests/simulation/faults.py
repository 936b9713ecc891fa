"""What goes wrong at a store call, drawn from a seed."""

from __future__ import annotations

import random
from collections import Counter
from enum import StrEnum
from typing import Final

import asyncpg


class Killed(BaseException):
    """The process ended, as by `kill -9`: nothing that it had in memory is left."""


class Fault(StrEnum):
    """What goes wrong. At a COMMIT, `before` it was lost and `after` it stands, and nobody was told."""

    LOST_BEFORE = "connection lost before"
    LOST_AFTER = "connection lost after"
    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"
    CONFLICT = "transaction refused"

    @property
    def is_before(self) -> bool:
        """Whether the call never reaches the store."""
        return self in (Fault.LOST_BEFORE, Fault.KILLED_BEFORE, Fault.CONFLICT)

    def error(self) -> BaseException:
        """What the caller sees of it."""
        if self in (Fault.KILLED_BEFORE, Fault.KILLED_AFTER):
            return Killed()
        if self is Fault.CONFLICT:
            return asyncpg.SerializationError("could not serialize access")
        return asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


BEGIN: Final = "BEGIN"
COMMIT: Final = "COMMIT"
_COMMITS: Final = 4
"""A transaction has many calls and one COMMIT, where most can go wrong."""


class Faults:
    """Draws faults at a rate a call (0: none)."""

    def __init__(self, seed: str, rate: float) -> None:
        self.rate = rate
        self.made: Counter[tuple[str, Fault]] = Counter()
        """Faults made, by call."""
        self._random = random.Random(seed)

    def draw(self, call: str) -> Fault | None:
        """What goes wrong at this call, if anything does."""
        rate = self.rate * (_COMMITS if call == COMMIT else 1)
        if not rate or self._random.random() >= rate:
            return None
        fault = self._random.choice(list(Fault))
        if fault is Fault.CONFLICT and call == BEGIN:
            return None  # nothing was done yet that could be refused
        self.made[call, fault] += 1
        return fault
