"""What was told before, on a real PostgreSQL: the journal knows it, whoever tells it again and how (O1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.kit.dead_letter import Reason, Refused
from services.ledger.executor import Known
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import LedgerUnderTest, ledger_on
from tests.model import events as shop


@pytest.fixture
async def ledger(make_database: MakeDatabase, jwks_file: Path) -> AsyncIterator[LedgerUnderTest]:
    async with ledger_on(make_database(), jwks_file=jwks_file) as under_test:
        yield under_test


async def head_of(ledger: LedgerUnderTest) -> tuple[int, bytes]:
    """How many inputs the one account has journalled, and the head of their chain."""
    async with ledger.pool.acquire() as connection:
        row = await connection.fetchrow("SELECT version, head FROM account")
    assert row is not None
    return row["version"], row["head"]


@pytest.mark.parametrize("together", [True, False])
async def test_O1_an_event_told_again_is_known_and_with_another_payload_refused(
    ledger: LedgerUnderTest, together: bool
) -> None:
    first, other = shop.paid("o1", shop.d(1), "900"), shop.paid("o1", shop.d(1), "901")
    assert first["id"] == other["id"]
    if together:
        _, again, conflict = await ledger.tell(first, first, other, at=shop.d(1, "10:00:01"))
    else:
        await ledger.tell(first, at=shop.d(1, "10:00:01"))
        before = await head_of(ledger)
        (again,) = await ledger.tell(first, at=shop.d(2))
        (conflict,) = await ledger.tell(other, at=shop.d(3))
        assert await head_of(ledger) == before
    assert again == Known()
    assert isinstance(conflict, Refused)
    assert (conflict.reason, conflict.field) == (Reason.CONFLICT, "data")
    assert (await head_of(ledger))[0] == 1
