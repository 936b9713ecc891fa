"""Streak repairs over HTTP, on a real PostgreSQL: a member buys a missed day (D4)."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

from deploy.local.tokens import Signer
from services.ledger.audit.verify import examine, summarise
from services.ledger.publication import publish_document
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import DOCUMENT, client_of, ledger_on
from tests.model import events as shop

SELLING = deepcopy(DOCUMENT)
[SIGN_IN] = [rule for rule in SELLING["earn"] if rule["on"] == "signed_in"]
SIGN_IN |= {"streak": {"3": 10, "7": 30}, "make_up": {"cost": 8, "within_days": 3}}


async def test_D4_a_missed_day_is_bought_once_over_http(
    make_database: MakeDatabase, jwks_file: Path, signer: Signer
) -> None:
    async with ledger_on(make_database(), publish=False, jwks_file=jwks_file) as ledger:
        async with ledger.pool.acquire() as connection:
            await publish_document(connection, SELLING)
        for day in (1, 2, 4):
            await ledger.receive(shop.signed_in(shop.d(day), member="m"), at=shop.d(day))
        token = signer.token(scopes=["ledger:read", "ledger:spend"])
        path = "/v1/members/m/streak-repairs"
        async with client_of(ledger.app(), token) as client:
            bought = await client.post(path, json={"day": "2026-03-03"}, headers={"Idempotency-Key": "a"})
            assert (bought.status_code, bought.json()["day"]) == (201, "2026-03-03"), bought.text
            assert bought.json()["balance"]["available"] == 17  # 15 - 8 + 10
            again = await client.post(path, json={"day": "2026-03-03"}, headers={"Idempotency-Key": "a"})
            assert (again.status_code, again.content) == (201, bought.content)
            for named, refusal in (("2026-03-03", "day-not-missed"), ("2026-03-04", "day-out-of-reach")):
                refused = await client.post(path, json={"day": named}, headers={"Idempotency-Key": named})
                assert (refused.status_code, refused.json()["type"]) == (409, f"urn:loyalty:problem:{refusal}")
            broken = await client.post(path, json={"day": "yesterday"}, headers={"Idempotency-Key": "b"})
            assert broken.status_code == 422
            entries = (await client.get("/v1/members/m/entries?kind=redeemed")).json()["entries"]
            assert {(entry["rule"], entry["points"]) for entry in entries} == {("make-up", 5), ("make-up", 3)}
            entry = f"{entries[0]['version']}.{entries[0]['line']}"
            explained = (await client.get(f"/v1/members/m/entries/{entry}/explanation")).json()
            assert "were spent, for made-up:2026-03-03" in explained["says"]
        assert summarise(*await examine(ledger.settings))["ok"]


async def test_D4_a_program_that_sells_no_days_refuses_by_the_name_of_the_contract(
    make_database: MakeDatabase, jwks_file: Path, signer: Signer
) -> None:
    async with ledger_on(make_database(), jwks_file=jwks_file) as ledger:
        await ledger.receive(shop.signed_in(shop.d(1), member="m"), at=shop.d(1))
        async with client_of(ledger.app(), signer.token(scopes=["ledger:spend"])) as client:
            refused = await client.post(
                "/v1/members/m/streak-repairs", json={"day": "2026-02-28"}, headers={"Idempotency-Key": "a"}
            )
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:loyalty:problem:streak-repair-not-offered")
