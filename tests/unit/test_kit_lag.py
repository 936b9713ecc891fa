"""A consumer that hangs is detected by records that wait while none is booked."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from services.kit import clock
from services.kit.lag import Lag, StallDetector, lag_of


def _worker(shard: int, booked: dict[str, int], oldest: int | None, waiting: int = 0) -> Any:
    return Mock(shard=shard, booked=booked, oldest=lambda: oldest, waiting=waiting)


def test_the_lag_is_what_is_not_booked_and_the_age_of_the_oldest() -> None:
    unread = {("a", 1): 4, ("b", 1): 0, ("a", 2): None}
    workers = [_worker(1, {"a": 4, "b": 7}, clock.now() - 3_000_000, waiting=2), _worker(2, {"a": 5}, None)]
    found = lag_of(workers, lambda topic, shard: unread[topic, shard])
    assert found.records == 6
    assert 2.9 < found.seconds < 10
    assert lag_of([], lambda topic, shard: None) == Lag(0, 0.0)


def test_a_stall_is_a_lag_without_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    stall = StallDetector(60.0)
    workers = [_worker(1, {"a": 5}, None)]
    assert not stall.observe(Lag(3, 1.0), workers)
    now += 59
    assert not stall.observe(Lag(3, 1.0), workers)
    now += 2
    assert stall.observe(Lag(3, 1.0), workers)
    assert not stall.observe(Lag(2, 1.0), [_worker(1, {"a": 6}, None)])
    now += 61
    assert not stall.observe(Lag(0, 0.0), workers)  # nothing to do is no stall
