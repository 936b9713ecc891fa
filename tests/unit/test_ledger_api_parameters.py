"""Parameters of the API: cursors, times and local days, tags of answers."""

from __future__ import annotations

import pytest

from services.kit.calendar import calendar_of, parse_rfc3339
from services.kit.problem import Problem
from services.ledger.api.balance import matches
from services.ledger.api.context import instant_of, instant_or_day
from services.ledger.api.entries import position_of
from services.ledger.reads.history import NEWEST


def test_cursors_areposition_ofs_in_the_ledger() -> None:
    assert position_of(None) == NEWEST
    assert position_of("12.3") == (12, 3)
    for wrong in ("", "12", "a.b", "1.2.3", "-1.2", "٣.1", "9" * 30 + ".1"):
        with pytest.raises(Problem):
            position_of(wrong)


def test_a_time_or_a_local_day() -> None:
    shanghai = calendar_of("Asia/Shanghai")
    assert instant_of("2026-03-01T00:00:00 08:00", "at") == parse_rfc3339("2026-02-28T16:00:00Z")
    assert instant_or_day("2026-03-01", "from", shanghai, end=False) == parse_rfc3339("2026-02-28T16:00:00Z")
    assert instant_or_day("2026-03-01", "to", shanghai, end=True) == parse_rfc3339("2026-03-01T16:00:00Z")
    with pytest.raises(Problem):
        instant_or_day("2026-02-30", "to", shanghai, end=True)


def test_etags_are_compared_weakly() -> None:
    assert matches('"a", W/"b"', 'W/"b"')
    assert matches('"b"', 'W/"b"')
    assert matches("*", 'W/"b"')
    assert not matches('W/"bb"', 'W/"b"')
