"""Clawbacks that find too little, on a real PostgreSQL: written off, or decided over HTTP (R6)."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from deploy.local.tokens import Signer
from services.kit.calendar import later
from services.ledger.audit.verify import examine, summarise
from services.ledger.publication import publish_document
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import DOCUMENT, LedgerUnderTest, client_of, ledger_on
from tests.model import events as shop


def program(negative: str) -> dict[str, Any]:
    document = deepcopy(DOCUMENT)
    document["points"]["negative"] = negative
    return document


async def spend_and_cancel(ledger: LedgerUnderTest) -> None:
    """1,900 points of which 1,000 are spent, when the order they are from is cancelled."""
    events = [
        shop.paid("o1", shop.d(1), "900", member="m"),
        shop.completed("o1", shop.d(2), member="m"),
        shop.paid("o2", shop.d(3), "10", points_used=1000, points_value="10", member="m"),
        shop.cancelled("o1", shop.d(4), member="m"),
    ]
    for event in events:
        await ledger.receive(event, at=event["time"])


async def test_R6_what_a_clamp_writes_off_is_in_the_balance_and_the_books_hold(
    make_database: MakeDatabase, jwks_file: Path, signer: Signer
) -> None:
    async with ledger_on(make_database(), publish=False, jwks_file=jwks_file) as ledger:
        async with ledger.pool.acquire() as connection:
            await publish_document(connection, program("clamp"))
        await spend_and_cancel(ledger)
        async with client_of(ledger.app(), signer.token(scopes=["ledger:read"])) as client:
            for query in ("", "?at=2026-03-04T12:00:00%2B08:00"):
                ledger.now = later(ledger.now, 7_200_000_000)
                points = (await client.get(f"/v1/members/m/balance{query}")).json()
                assert (points["available"], points["debt"]) == (0, 0)
                # 1,000 redeemed; all that was earned is taken back.
                assert points["lifetime"] == {"earned": 0, "redeemed": 1000, "expired": 0, "written_off": -1000}
        summary = summarise(*await examine(ledger.settings))
        assert summary["ok"], summary["examples"]
        assert summary["points"]["written_off"] == -1000


@pytest.mark.parametrize(("decision", "debt", "written_off"), [("take", 1000, None), ("write_off", 0, -1000)])
async def test_R6_a_shortfall_is_decided_over_http(
    make_database: MakeDatabase, jwks_file: Path, signer: Signer, decision: str, debt: int, written_off: int | None
) -> None:
    async with ledger_on(make_database(), publish=False, jwks_file=jwks_file) as ledger:
        async with ledger.pool.acquire() as connection:
            await publish_document(connection, program("review"))
        await spend_and_cancel(ledger)
        path = "/v1/members/m/shortfalls"
        async with client_of(ledger.app(), signer.token(scopes=["ledger:read", "ledger:adjust"])) as client:
            waiting = (await client.get(path)).json()["shortfalls"]
            assert sum(each["points"] for each in waiting) == 1000
            assert {each["order_id"] for each in waiting} == {"o1"}
            body = {"ref": waiting[0]["ref"], "decision": decision}
            for _ in range(2):
                decided = await client.post(path, json=body, headers={"Idempotency-Key": "a"})
                assert (decided.status_code, decided.json()["balance"]["debt"]) == (200, debt), decided.text
            unknown = await client.post(path, json=body, headers={"Idempotency-Key": "b"})
            assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:loyalty:problem:shortfall-unknown")
            assert (await client.get(path)).json()["shortfalls"] == []
            points = (await client.get("/v1/members/m/balance")).json()
            assert points["lifetime"].get("written_off") == written_off
        async with client_of(ledger.app(), signer.token(scopes=["ledger:spend"])) as client:
            assert (await client.post(path, json=body, headers={"Idempotency-Key": "c"})).status_code == 403
        summary = summarise(*await examine(ledger.settings))
        assert summary["ok"], summary["examples"]
