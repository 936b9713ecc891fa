"""Which publishers are refused too often. What one of them gets wrong stops nobody: it is counted, and it is named.

A source is what its publisher writes into the event, so anybody who may write to a topic can make any number of them.
What is kept of them, and the series of metrics that name them, are therefore bounded.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from services.kit import log, metrics
from services.kit.dead_letter import Rejected, is_our_fault
from services.kit.kafka import Record

_log = log.get(__name__)

WINDOW: Final = 1000
"""How many of a source's last records count."""
ALLOWED_SHARE: Final = 0.05
"""A source of which more is refused raises an alarm."""
MIN_SEEN: Final = 100
"""A source with fewer records is judged as if it had so many: six refusals raise an alarm, one slip does not."""
MAX_WATCHED: Final = 256
"""Sources that are watched at a time; the one that was refused longest ago is forgotten for another."""
MAX_SERIES: Final = 100
"""Sources that get a series of their own from one process; the others share `OTHER`."""
MAX_SHOWN: Final = 5
"""Sources that are named at a time in the state of the consumer."""
OTHER: Final = "other"
UNKNOWN: Final = "unknown"
"""The source of a record that names none, or none that may be shown."""

_IN_JSON: Final = re.compile(rb'"source"\s*:\s*"([A-Za-z0-9._~:/?#%+=&-]{1,100})"')
_IN_HEADER: Final = re.compile(rb"[A-Za-z0-9._~:/?#%+=&-]{1,100}")
_SEARCHED: Final = 4096
"""Bytes of a record that are searched for its source."""


class Offender(NamedTuple):
    """A source of which too much is refused: `refused` of its last `seen` records, the last one for `reason`."""

    source: str
    refused: int
    seen: int
    reason: str


class _Window:
    """The last records of one source."""

    def __init__(self) -> None:
        self.refused: deque[bool] = deque(maxlen=WINDOW)
        self.reason = ""
        self.alarmed = False

    def is_excessive(self) -> bool:
        return sum(self.refused) > ALLOWED_SHARE * max(MIN_SEEN, len(self.refused))


class SourceWatch:
    """Counts what is refused by source among the records of this process.

    A source is watched from its first refusal on, and until none of its last 1,000 records was refused. So while
    nothing is refused, no record is searched for its source.
    """

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}
        self._series: set[str] = set()

    def add(self, records: Sequence[Record], rejected: Sequence[Rejected]) -> None:
        """Counts a batch that was booked, and raises an alarm for a source that passes its limit by it."""
        theirs = [(record, refused) for record, refused in rejected if not is_our_fault(record, refused)]
        if not theirs and not self._windows:
            return
        refused_by: Counter[str] = Counter()
        for record, refused in theirs:
            source = source_of(record)
            refused_by[source] += 1
            self._watch(source).reason = str(refused.reason)
        seen_by = Counter(map(source_of, records))
        for source in list(self._windows):
            if source in seen_by:
                self._count(source, seen_by[source], refused_by[source])

    def offenders(self) -> list[Offender]:
        """The sources of which too much is refused now, the worst first."""
        found = [
            Offender(source, sum(window.refused), len(window.refused), window.reason)
            for source, window in self._windows.items()
            if window.is_excessive()
        ]
        return sorted(found, key=lambda each: -each.refused)

    def _watch(self, source: str) -> _Window:
        window = self._windows.pop(source, None)
        if window is None:
            window = _Window()
            if len(self._windows) >= MAX_WATCHED:
                del self._windows[next(iter(self._windows))]
        self._windows[source] = window
        return window

    def _count(self, source: str, seen: int, refused: int) -> None:
        window = self._windows[source]
        window.refused.extend([False] * min(WINDOW, seen - refused) + [True] * refused)
        if refused:
            metrics.count("refused_by_source_total", refused, source=self._series_of(source))
        elif not any(window.refused):
            del self._windows[source]
            return
        excessive = window.is_excessive()
        if excessive and not window.alarmed:
            metrics.count("alarms_total", kind="source_refused")
            _log.error("source_refused", source=source, refused=sum(window.refused), of=len(window.refused))
        window.alarmed = excessive

    def _series_of(self, source: str) -> str:
        if source not in self._series and len(self._series) >= MAX_SERIES:
            return OTHER
        self._series.add(source)
        return source


def source_of(record: Record) -> str:
    """The source that a record names, in structured or binary mode; `UNKNOWN` where it names none that may be shown.

    It is searched for, not parsed: most refused records cannot be parsed.
    """
    for name, content in record.headers:
        if name.lower() == "ce_source":
            return content.decode() if _IN_HEADER.fullmatch(content) else UNKNOWN
    found = _IN_JSON.search(record.value, 0, _SEARCHED) if record.value is not None else None
    return UNKNOWN if found is None else found[1].decode()


def describe(offenders: Iterable[Offender]) -> str:
    """The worst of these sources and what is refused of each, in words."""
    shown = [f"{o.source} ({o.refused} of its last {o.seen}, lately {o.reason})" for o in offenders]
    more = f" and {len(shown) - MAX_SHOWN} more" if len(shown) > MAX_SHOWN else ""
    return ", ".join(shown[:MAX_SHOWN]) + more
