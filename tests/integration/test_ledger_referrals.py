"""Both sides of a referral on their own shards, on a real PostgreSQL: told over `loyalty.internal.v1`, booked once."""

from __future__ import annotations

from copy import deepcopy

import orjson
import pytest

from deploy.local.tokens import Signer
from services.kit.kafka import shard_of
from services.ledger.audit.verify import examine, summarise
from services.ledger.publication import publish_document
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import DOCUMENT, LedgerUnderTest, client_of, ledger_on, post
from tests.model import events as shop

REFERRING = deepcopy(DOCUMENT)
REFERRING["earn"].append({"rule": "referral", "on": "referral", "referrer": 100, "referred": 50})
FRIEND, GUEST = "anna", "bo"


async def available(ledger: LedgerUnderTest, member: str) -> int:
    async with ledger.pool.acquire() as connection:
        points = await connection.fetchval(
            "SELECT available FROM account JOIN identity USING (shard, account) WHERE member_id = $1", member
        )
    return int(points or 0)


async def test_F4_who_referred_has_points_while_the_referred_member_has_a_successful_order(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ledger_on(make_database(), publish=False) as ledger:
        assert shard_of(FRIEND, ledger.settings.shards) != shard_of(GUEST, ledger.settings.shards)
        async with ledger.pool.acquire() as connection:
            await publish_document(connection, REFERRING)
        await ledger.receive(shop.signed_in(shop.d(0), member=FRIEND), at=shop.d(0, "10:00:01"))
        joined = shop.registered(shop.d(1), member=GUEST, referred_by=FRIEND, id="joined")
        paid = shop.paid("o1", shop.d(2), "100", member=GUEST, id="paid")
        completed = shop.completed("o1", shop.d(3), member=GUEST, id="completed")
        for day, event in enumerate((joined, paid, completed), 1):
            await ledger.receive(event, at=shop.d(day, "10:00:01"))
        messages = await ledger.internal_messages()
        await ledger.deliver()
        # 20 for joining, 100 x 1, 100 for the first purchase, 50 for having been referred; 5 and 100 for the friend.
        assert (await available(ledger, GUEST), await available(ledger, FRIEND)) == (270, 105)
        await ledger.deliver(*messages)
        assert await available(ledger, FRIEND) == 105, "told twice, booked once"
        await ledger.receive(shop.cancelled("o1", shop.d(4), member=GUEST, id="off"), at=shop.d(4, "10:00:01"))
        await ledger.deliver()
        assert (await available(ledger, GUEST), await available(ledger, FRIEND)) == (20, 5)
        monkeypatch.setattr("services.kit.clock.now", lambda: ledger.now)
        summary = summarise(*await examine(ledger.settings))
        assert summary["examples"] == []
        assert summary["ok"]


async def test_who_names_oneself_as_referrer_is_no_fault_of_the_books(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ledger_on(make_database(), publish=False) as ledger:
        async with ledger.pool.acquire() as connection:
            await publish_document(connection, REFERRING)
        await ledger.receive(shop.registered(shop.d(1), member=GUEST, referred_by=GUEST), at=shop.d(1, "10:00:01"))
        monkeypatch.setattr("services.kit.clock.now", lambda: ledger.now)
        assert summarise(*await examine(ledger.settings))["examples"] == []


async def test_mend_a07_F3_a_referrer_nobody_knows_is_no_member_and_pays_nobody(
    make_database: MakeDatabase, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message waits on an account that answers 404 as if it were not there; after 30 days it is let go."""
    async with ledger_on(make_database(), publish=False, jwks_file=signer.jwks_file) as ledger:
        async with ledger.pool.acquire() as connection:
            await publish_document(connection, REFERRING)
        joined = shop.registered(shop.d(1), member=GUEST, referred_by="nobody")
        bought = [shop.paid("o1", shop.d(2), "100", member=GUEST), shop.completed("o1", shop.d(3), member=GUEST)]
        for day, event in enumerate((joined, *bought), 1):
            await ledger.receive(event, at=shop.d(day, "10:00:01"))
        (told,) = await ledger.internal_messages()
        await ledger.deliver()
        async with client_of(ledger.app(), signer.token(scopes=["ledger:read", "ledger:spend"])) as client:
            for path in ("balance", "lots", "entries", "statement?month=2026-03"):
                assert (await client.get(f"/v1/members/nobody/{path}")).status_code == 404, path
            gift = {"from": GUEST, "to": "nobody", "points": 1, "reference": "gift"}
            assert (await post(client, "/v1/transfers", gift)).status_code == 404
            message = {"source": "/loyalty/ledger", "id": orjson.loads(told.value or b"")["id"]}
            became = (await client.get("/v1/inputs", params={"member_id": "nobody", **message})).json()
            assert [each["outcome"] for each in became["inputs"]] == ["parked"]
            await ledger.receive(at=shop.d(33, "10:00:02"))
            await ledger.sweep("nobody")
            (answer,) = await ledger.internal_messages()
            await ledger.deliver()
            assert (await available(ledger, GUEST), await available(ledger, "nobody")) == (220, 0)
            message = {"source": "/loyalty/ledger", "id": orjson.loads(answer.value or b"")["id"]}
            became = (await client.get("/v1/inputs", params={"member_id": GUEST, **message})).json()
            assert [each["detail"] for each in became["inputs"]] == ["referrer_unknown"]
            await ledger.receive(shop.signed_in(shop.d(34), member="nobody"), at=shop.d(34))
            assert (await client.get("/v1/members/nobody/balance")).json()["available"] == 5
        monkeypatch.setattr("services.kit.clock.now", lambda: ledger.now)
        assert summarise(*await examine(ledger.settings))["examples"] == []


async def test_mend_a07_F1_two_who_refer_each_other_have_one_referral(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ledger_on(make_database(), publish=False) as ledger:
        async with ledger.pool.acquire() as connection:
            await publish_document(connection, REFERRING)
        for member, other, day in ((GUEST, FRIEND, 1), (FRIEND, GUEST, 2)):
            at = shop.d(day, "10:00:01")
            await ledger.receive(shop.registered(shop.d(day), member=member, referred_by=other), at=at)
        for member in (FRIEND, GUEST):
            await ledger.receive(shop.paid("o1", shop.d(3), "100", member=member), at=shop.d(3, "10:00:01"))
            await ledger.receive(shop.completed("o1", shop.d(4), member=member), at=shop.d(4, "10:00:01"))
            await ledger.deliver()
        # Of 220 each, bo has 50 as anna's referral, and anna 100 for it.
        assert (await available(ledger, GUEST), await available(ledger, FRIEND)) == (270, 320)
        monkeypatch.setattr("services.kit.clock.now", lambda: ledger.now)
        assert summarise(*await examine(ledger.settings))["examples"] == []
