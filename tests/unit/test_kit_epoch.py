"""Epochs: facts of a new one are newer than all of the old, for each service that reads them (C3)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from schemas.events import parse_event
from services.kit.epoch import fact_id, numbered, version_of
from services.kit.health import failover_state
from services.ledger.domain.state.inputs import TierHistoryReceived
from services.ledger.events.inbound import input_of
from services.tiering.domain.member import Member, TimelineReceived, decide
from services.tiering.events.inbound import POINTS
from tests.conftest import REPOSITORY
from tests.unit.test_tiering_inbound import VERSIONS, decode, qualified, record


def test_C3_epochs_are_compared_before_versions() -> None:
    told = [numbered(epoch, version, 0) for epoch, version in ((0, 7), (0, 12), (1, 1), (1, 9), (2, 1))]
    assert told[0] == {"member_version": 7, "event_no": 0}, "the first epoch is not named"
    assert [version_of(each) for each in told] == sorted(version_of(each) for each in told)
    assert (fact_id("m1", 0, 7, 2), fact_id("m1", 1, 7, 2)) == ("m1:7:2", "m1:7:2:e1")


def timeline(member_version: int, amount: str, **more: Any) -> TimelineReceived:
    entry = {"at": "2026-01-02T10:00:00+08:00", "amount": amount, "orders": 1, "cause": "completed"}
    read = decode(record(POINTS, qualified(member_version=member_version, timeline=[entry], **more)))
    assert isinstance(read, TimelineReceived)
    return read


def test_C3_tiering_takes_an_order_of_a_new_epoch_for_the_newer() -> None:
    member = Member()
    for received in (timeline(12, "399"), timeline(9, "100", epoch=1), timeline(13, "500")):
        decide(VERSIONS, member, received, {}, complete=True)
    (order,) = member.orders.values()
    assert [entry.amount for entry in order.entries] == [10_000], "13 is of an epoch that is over"


def tier_history(member_version: int, **more: Any) -> TierHistoryReceived:
    event = orjson.loads((REPOSITORY / "schemas/examples/loyalty.tier.upgraded.v1.json").read_bytes())
    event["data"] |= {"member_version": member_version, **more}
    read = input_of(parse_event(orjson.dumps(event)), "CNY", 2)
    assert isinstance(read, TierHistoryReceived)
    return read


def test_C3_the_ledger_takes_a_tier_history_of_a_new_epoch_for_the_newer() -> None:
    assert tier_history(12).seen < tier_history(3, epoch=1).seen < tier_history(4, epoch=1).seen
    assert tier_history(3, epoch=1).seen < tier_history(1, epoch=2).seen


@pytest.mark.parametrize(
    ("standbys", "names", "commit", "is_told"),
    [
        (0, "", "on", False),
        (1, "", "on", True),
        (1, "", "remote_apply", True),
        (1, "b", "local", True),
        (1, "b", "remote_write", True),
        (1, "b", "on", False),
        (2, "ANY 1 (b, c)", "remote_apply", False),
    ],
)
def test_C3_a_standby_that_commits_do_not_wait_for_is_told(
    standbys: int, names: str, commit: str, is_told: bool
) -> None:
    state = failover_state(standbys, names, commit)
    assert (state.ok, bool(state.detail)) == (True, is_told), "a warning: reads and commands go on"
