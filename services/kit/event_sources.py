"""Which source may say what: patterns of event sources and types, in tokens and in settings.

A record of a topic carries no token. Who may write to a topic is the brokers' to say (ACLs); which sources may say
which types on it is said by the setting `EVENT_SOURCES`, so that a shop's reviews system cannot pay an order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from schemas.events.reasons import RefusalReason, Refused

_MAX_KNOWN = 10_000


def matches_any(patterns: Iterable[str], value: str) -> bool:
    """Whether one of the patterns is the value; a `*` at the end of a pattern stands for any rest."""
    return any(value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern for pattern in patterns)


class EventSources:
    """The shop's sources, and the types that each may say. Without any, every source may say everything."""

    def __init__(self, types_of: Mapping[str, Sequence[str]] | None = None) -> None:
        """`types_of`: patterns of sources, and of each the patterns of its types (`EVENT_SOURCES`)."""
        self._types_of = dict(types_of or {})
        self._known: dict[tuple[str, str], bool] = {}

    def check(self, source: str, event_type: str) -> None:
        """Raises Refused (`broken_field`, `source`) when this source may not say this type."""
        if self._types_of and not self._may_say(source, event_type):
            raise Refused(RefusalReason.BROKEN_FIELD, "source", f"this source may not say {event_type} (EVENT_SOURCES)")

    def _may_say(self, source: str, event_type: str) -> bool:
        place = (source, event_type)
        known = self._known.get(place)
        if known is None:
            known = any(
                matches_any((pattern,), source) and matches_any(types, event_type)
                for pattern, types in self._types_of.items()
            )
            if len(self._known) >= _MAX_KNOWN:  # sources are what publishers write
                self._known.clear()
            self._known[place] = known
        return known
