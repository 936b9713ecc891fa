"""What was told before, on a real PostgreSQL: the journal knows it, whoever tells it again and how (O1)."""

from __future__ import annotations

import pytest

from services.kit.dead_letter import RefusalReason, Refused
from services.ledger.inputs import Known
from tests.integration.ledger_support import LedgerUnderTest
from tests.model import events as shop


async def head_of(ledger: LedgerUnderTest, member: str) -> tuple[int, bytes]:
    """How many inputs a member's account has journalled, and the head of their chain."""
    async with ledger.pool.acquire() as connection:
        row = await connection.fetchrow(
            "SELECT version, head FROM account JOIN identity USING (shard, account) WHERE member_id = $1", member
        )
    assert row is not None
    return row["version"], row["head"]


@pytest.mark.parametrize("together", [True, False])
async def test_O1_an_event_told_again_is_known_and_with_another_payload_refused(
    ledger: LedgerUnderTest, together: bool
) -> None:
    member = f"told.{together}"
    first, other = (shop.paid("o1", shop.d(1), amount, member=member) for amount in ("900", "901"))
    assert first["id"] == other["id"]
    if together:
        _, again, conflict = await ledger.receive(first, first, other, at=shop.d(1, "10:00:01"))
    else:
        await ledger.receive(first, at=shop.d(1, "10:00:01"))
        before = await head_of(ledger, member)
        (again,) = await ledger.receive(first, at=shop.d(2))
        (conflict,) = await ledger.receive(other, at=shop.d(3))
        assert await head_of(ledger, member) == before
    assert again == Known()
    assert isinstance(conflict, Refused)
    assert (conflict.reason, conflict.field) == (RefusalReason.CONFLICT, "data")
    assert (await head_of(ledger, member))[0] == 1
