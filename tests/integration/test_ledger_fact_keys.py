"""Keys of facts on a real PostgreSQL: no activity takes another kind's key, and older keys are brought up to date."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from services.kit.kafka import Shard
from services.kit.migrate import migrate
from services.ledger.audit.shard import audit_shard
from services.ledger.domain.state.outcome import Outcome
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import LedgerUnderTest, ledger_on
from tests.model import events as shop

MIGRATION = 9


async def facts_of(ledger: LedgerUnderTest, member: str) -> list[str]:
    """The keys of a member's facts."""
    async with ledger.pool.acquire() as connection:
        rows = await connection.fetch(
            "SELECT key FROM fact JOIN identity USING (shard, account) WHERE member_id = $1 ORDER BY key", member
        )
    return [row["key"] for row in rows]


def kinds(outcomes: Sequence[object]) -> list[str]:
    """What became of each event: booked, known, …"""
    return [outcome.kind for outcome in outcomes if isinstance(outcome, Outcome)]


@pytest.mark.parametrize("name", ["review", "hold", "redemption", "referral", "profile"])
async def test_O2_an_activity_named_as_another_kind_of_fact_leaves_that_kind_alone(
    ledger: LedgerUnderTest, name: str
) -> None:
    member = f"m-{name}"
    activity = shop.activity(name, "5", shop.d(1), member=member)
    review = shop.review("5", shop.d(2), member=member)
    (first,) = await ledger.receive(activity, at=shop.d(1, "10:00:01"))
    (second,) = await ledger.receive(review, at=shop.d(2, "10:00:01"))
    assert kinds([first, second]) == ["booked", "booked"]
    assert isinstance(second, Outcome)
    assert [entry.points for entry in second.entries] == [20]
    assert await facts_of(ledger, member) == sorted([f"activity:{name}:5", "review:5", *cap_keys(second)])


def cap_keys(outcome: Outcome) -> list[str]:
    """The pool of the day of a review."""
    (entry,) = outcome.entries
    return [f"cap:{entry.rule}:1:2026-03-02"]


OLD_FORM = r"""
    UPDATE fact
    SET key = CASE WHEN key LIKE 'activity:%' THEN substr(key, 10) ELSE key END,
        value = set_byte(substr(value, 1, octet_length(value) - 1), 0, x'97'::integer)
    WHERE key LIKE 'activity:%' OR key LIKE 'review:%'
"""
"""Facts as they were written before activities had a prefix of their own: a state had seven fields, it has eight."""

OF_TODAY = (
    r"UPDATE fact SET value = set_byte(value || '\xa0', 0, x'98'::integer) WHERE get_byte(value, 0) = x'97'::integer"
)
"""What the audit would fold upon the snapshot of an older release's account: here it folds from the first input on."""


async def test_O2_older_keys_of_activities_are_brought_up_to_date(make_database: MakeDatabase) -> None:
    """Given rows of the old form, when the database is migrated, then what was known is known still."""
    long_id = "favourite-" + "长" * 60
    events = [
        shop.activity("favourite", "5", shop.d(1)),
        shop.activity("favourite", long_id, shop.d(1), id="long"),
        shop.activity("hold", "1", shop.d(1), id="named as a hold"),
        shop.activity("review", "5", shop.d(1), id="named as a review"),
        shop.activity("review", long_id, shop.d(1), id="named as a review, with a long id"),
        shop.review("7", shop.d(1)),
    ]
    async with ledger_on(make_database()) as ledger:
        await ledger.receive(*events, at=shop.d(1, "10:00:01"))
        keys = await facts_of(ledger, shop.MEMBER)
        assert {"activity:favourite:5", "activity:hold:1", "activity:review:5", "review:7"} < set(keys)

        await ledger.tamper(OLD_FORM)
        await ledger.tamper("DELETE FROM migration WHERE package = 'services.ledger' AND number = $1", MIGRATION)
        old = await facts_of(ledger, shop.MEMBER)
        assert {"favourite:5", "hold:1", "review:5", "review:7", f"review:{long_id}"} < set(old)
        assert await migrate(ledger.settings, "services.ledger") == ["services.ledger/0009_activity_keys"]

        assert await facts_of(ledger, shop.MEMBER) == keys
        await ledger.tamper(OF_TODAY)
        again = [event | {"id": f"~{event['id']}"} for event in events]
        assert kinds(await ledger.receive(*again, at=shop.d(3))) == ["known"] * len(events)
        (own,) = await ledger.receive(shop.review("5", shop.d(3), id="its own review"), at=shop.d(3, "10:00:01"))
        assert isinstance(own, Outcome)
        assert [entry.points for entry in own.entries] == [20]
        async with ledger.pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            programs = await ledger.ledger.programs.read(connection)
            for shard in range(ledger.settings.shards):
                report = await audit_shard(connection, programs, Shard(shard), ledger.settings.shards)
                assert report.examples == []
