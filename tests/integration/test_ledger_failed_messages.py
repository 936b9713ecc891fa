"""A message between accounts that cannot be booked: its points stay in transit, and arrive after the fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.tokens import Signer
from services.kit import clock, redrive
from services.kit.calendar import rfc3339
from services.kit.serve import running
from services.kit.topics import ensure_topics
from services.ledger.__main__ import SERVICE
from services.ledger.events.internal import INTERNAL
from tests.conftest import MakeDatabase
from tests.integration.kit_support import eventually, make_topics
from tests.integration.ledger_support import LedgerUnderTest, client_of, ledger_on
from tests.model import events as shop

SENDER, RECEIVER = "b04-sender", "b04-receiver"
DEFECT = """
    CREATE FUNCTION ledger.defect() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'a defect'; END $$;
    CREATE TRIGGER defect BEFORE INSERT ON ledger.journal
        FOR EACH ROW WHEN (NEW.type = 'receive') EXECUTE FUNCTION ledger.defect();
"""
EVERYTHING = redrive.Choice(topics=frozenset({INTERNAL}))


async def test_mend_b04_a_transfer_that_fails_arrives_after_the_fix_however_long_it_took(
    make_database: MakeDatabase, kafka: str, signer: Signer, jwks_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ensure_topics(kafka)
    # As when the dead letters have been dropped meanwhile.
    await make_topics(kafka, {"no-dead-letters": 1})
    monkeypatch.setattr(redrive, "DEAD_LETTERS", "no-dead-letters")
    async with ledger_on(
        make_database(), kafka_bootstrap_servers=kafka, consumer_group="b04", jwks_file=jwks_file
    ) as ledger:
        at = rfc3339(clock.now())
        await ledger.receive(*(shop.signed_in(at, member=member) for member in (SENDER, RECEIVER)), at=at)
        await ledger.tamper(DEFECT)
        async with running(SERVICE, ledger.settings, frozenset({"consumer", "relay", "sweeper", "api"}), port=0) as one:
            parts = {part.name: part for part in one.parts}
            async with client_of(parts["api"].app, signer.token(scopes=["ledger:read", "ledger:spend"])) as client:
                await eventually(lambda: _is_ready(client))
                answer = await client.post(
                    "/v1/transfers",
                    json={"from": SENDER, "to": RECEIVER, "points": 5, "reference": "b04"},
                    headers={"Idempotency-Key": "b04"},
                )
                assert answer.status_code == 202
                sweeper = parts["sweeper"]
                await eventually(
                    lambda: _reports(sweeper, "1 messages between accounts could not be booked"), seconds=40
                )
                assert not sweeper.state().ok
                assert (await redrive.drive(ledger.settings, EVERYTHING))["redriven"] == 1
                await eventually(lambda: _kept(ledger, 1), what="it fails again, and is kept at its new place")
                await ledger.tamper("DROP TRIGGER defect ON ledger.journal; DROP FUNCTION ledger.defect")
                counts = await redrive.drive(ledger.settings, EVERYTHING)
                assert (counts["redriven"], counts["gone"]) == (1, 0)
                await eventually(lambda: _has(client, RECEIVER, 10))
                assert await _kept(ledger, 0)
                assert (await redrive.drive(ledger.settings, EVERYTHING))["redriven"] == 0
                await eventually(lambda: _reports(sweeper, ""), seconds=40)
                assert await _has(client, SENDER, 0)


async def _is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200


async def _reports(part: Any, words: str) -> bool:
    detail = part.state().detail
    return detail.startswith(words) if words else not detail


async def _kept(ledger: LedgerUnderTest, number: int) -> bool:
    return bool(await ledger.pool.fetchval("SELECT count(*) FROM failed_message") == number)


async def _has(client: httpx.AsyncClient, member: str, points: int) -> bool:
    answer = await client.get(f"/v1/members/{member}/balance")
    return answer.status_code == 200 and answer.json()["available"] == points
