"""A consumer that hangs is noticed by what it does not book."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from services.kit import clock
from services.kit.lag import Lag, Stall, lag_of


def _lane(shard: int, booked: dict[str, int], oldest: int | None, waiting: int = 0) -> Any:
    return Mock(shard=shard, booked=booked, oldest=lambda: oldest, waiting=waiting)


def test_the_lag_is_what_is_not_booked_and_the_age_of_the_oldest() -> None:
    unread = {("a", 1): 4, ("b", 1): 0, ("a", 2): None}
    lanes = [_lane(1, {"a": 4, "b": 7}, clock.now() - 3_000_000, waiting=2), _lane(2, {"a": 5}, None)]
    found = lag_of(lanes, lambda topic, shard: unread[topic, shard])
    assert found.records == 6
    assert 2.9 < found.seconds < 10
    assert lag_of([], lambda topic, shard: None) == Lag(0, 0.0)


def test_a_stall_is_a_lag_without_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    stall = Stall(60.0)
    lanes = [_lane(1, {"a": 5}, None)]
    assert not stall.noticed(Lag(3, 1.0), lanes)
    now += 59
    assert not stall.noticed(Lag(3, 1.0), lanes)
    now += 2
    assert stall.noticed(Lag(3, 1.0), lanes)
    assert not stall.noticed(Lag(2, 1.0), [_lane(1, {"a": 6}, None)])
    now += 61
    assert not stall.noticed(Lag(0, 0.0), lanes)  # nothing to do is no stall
