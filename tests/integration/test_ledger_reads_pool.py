"""Reads have connections of their own: they wait for each other, end in time, and hold up no command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from deploy.local.tokens import Signer
from services.kit.postgres import Pool, is_too_slow, is_unavailable, new_pool, new_reads_pool
from services.ledger.store import prepare
from tests.integration.ledger_support import LedgerUnderTest, client_of, completed_order, held


@pytest.fixture
async def reads(ledger: LedgerUnderTest) -> AsyncIterator[Pool]:
    """One connection for reads, and a third of a second for a statement."""
    settings = ledger.settings.model_copy(update={"read_connections": 1, "read_timeout_seconds": 0.3})
    async with new_reads_pool(settings, prepare=prepare) as pool:
        yield pool


@pytest.fixture
async def client(ledger: LedgerUnderTest, reads: Pool, signer: Signer) -> AsyncIterator[httpx.AsyncClient]:
    token = signer.token(scopes=["ledger:read", "ledger:spend"])
    async with client_of(ledger.app(reads=reads), token) as made:
        yield made


async def test_mend_c08_reads_that_take_long_hold_up_no_command(
    ledger: LedgerUnderTest, client: httpx.AsyncClient, reads: Pool
) -> None:
    await completed_order(ledger, "anna")
    async with reads.acquire():  # as if all connections for reads were at work
        reading = asyncio.ensure_future(client.get("/v1/members/anna/balance"))
        hold = await asyncio.wait_for(held(client, "anna", 100), 5)
        assert hold["points"] == 100
        assert not reading.done()
    answer = await reading
    assert (answer.status_code, answer.json()["held"]) == (200, 100)


async def test_mend_c08_a_read_that_takes_too_long_ends_and_says_so(
    ledger: LedgerUnderTest, client: httpx.AsyncClient, reads: Pool
) -> None:
    await completed_order(ledger, "bo")
    with pytest.raises(asyncpg.QueryCanceledError) as ended:
        await reads.fetchval("SELECT pg_sleep(5)")
    assert is_too_slow(ended.value)
    assert is_unavailable(ended.value)
    locked = await asyncpg.connect(ledger.dsn, server_settings={"search_path": "ledger"})
    async with locked.transaction():
        await locked.execute("LOCK TABLE lot")
        answer = await asyncio.wait_for(client.get("/v1/members/bo/lots"), 5)
    await locked.close()
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert "takes longer to find" in answer.json()["detail"]
    assert (await client.get("/v1/members/bo/lots")).status_code == 200


async def test_mend_c08_the_server_ends_statements_of_clients_that_are_gone(ledger: LedgerUnderTest) -> None:
    async with new_pool(ledger.settings) as pool:
        assert await pool.fetchval("SHOW statement_timeout") == "1min"
