"""Every published version of the loyalty program, followed from `loyalty.program.v1` into memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from services.kit.calendar import Micros
from services.kit.health import State
from services.kit.settings import Settings

PROGRAM_TOPIC = "loyalty.program.v1"
P = TypeVar("P")


class Version(msgspec.Struct, Generic[P], frozen=True):
    """One published version. `program` is what the service's `parse` made of the document."""

    version: str
    content_hash: str
    effective_from: Micros
    published_at: Micros
    program: P


class NoProgram(Exception):
    """No version of the program has been published yet."""


class Programs(Generic[P]):
    """The part `program`: all versions in memory, chosen by business time; always started."""

    name = "program"

    def __init__(self, settings: Settings, *, parse: Callable[[dict[str, Any]], P]) -> None:
        """`parse` makes the service's own form of a document (as JSON); what it raises keeps the version out and
        the service not ready, and the versions before it stay."""
        raise NotImplementedError

    def current_at(self, at: Micros) -> Version[P]:
        """The version of a business time: the last with `effective_from <= at`; the first covers all earlier
        times. Raises `NoProgram`."""
        raise NotImplementedError

    @property
    def versions(self) -> tuple[Version[P], ...]:
        """All versions, by `effective_from`."""
        raise NotImplementedError

    async def first(self) -> Version[P]:
        """Waits until there is a version and all that was published before the start has been read."""
        raise NotImplementedError

    def on_version(self, listener: Callable[[Version[P]], None]) -> None:
        """Calls `listener` for each version as it arrives."""

    async def start(self) -> None:
        """Begins to follow; returns at once."""

    async def stop(self) -> None:
        """Stops following."""

    def state(self) -> State:
        """Whether a version is known and the last one published could be read."""
        raise NotImplementedError
