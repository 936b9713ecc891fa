"""What a shop's developer does on the first day: publish events, read points, tiers and messages, with tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
from aiokafka import AIOKafkaProducer

from deploy.shop.events import KAFKA_HEADERS
from schemas.topics import TOPIC_OF
from tests.deployment import Deployment
from tests.model import events as shop
from tests.shops import of_shop


def ago(**span: float) -> str:
    """A business time so long before now."""
    return (datetime.now(UTC) - timedelta(**span)).isoformat(timespec="milliseconds")


@asynccontextmanager
async def api(deployment: Deployment, service: str, token: str | None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of one service, with a bearer token or none."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=deployment.services[service].url, headers=headers, timeout=10) as client:
        yield client


async def get(deployment: Deployment, service: str, path: str, **parameters: Any) -> dict[str, Any]:
    """What the shop's backend reads."""
    async with api(deployment, service, deployment.signer.token()) as client:
        answer = await client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def publish_to_kafka(deployment: Deployment, *events: shop.Event) -> None:
    """With a Kafka client, keyed by the member."""
    producer = AIOKafkaProducer(bootstrap_servers=deployment.broker.bootstrap)
    await producer.start()
    try:
        for event in events:
            await producer.send_and_wait(
                TOPIC_OF[event["type"]].name,
                orjson.dumps(event),
                key=event["subject"].encode(),
                headers=KAFKA_HEADERS,
            )
    finally:
        await producer.stop()


async def post_events(deployment: Deployment, *events: shop.Event) -> httpx.Response:
    """Over HTTP, in one batch."""
    async with api(deployment, "ledger", deployment.signer.token()) as client:
        return await client.post(
            "/v1/events",
            content=orjson.dumps(list(events)),
            headers={"Content-Type": "application/cloudevents-batch+json"},
        )


async def test_a_shops_first_member_from_joining_to_the_first_reward(deployment: Deployment) -> None:
    member = "first.m"
    path = f"/v1/members/{member}"
    await publish_to_kafka(
        deployment,
        shop.registered(ago(days=5), member=member, name="Member 1", locale="en", phone="+12025550101"),
        shop.paid("o1", ago(days=4), "900", member=member),
    )
    accepted = await post_events(
        deployment,
        shop.completed("o1", ago(days=2), member=member),
        shop.paid("o2", ago(days=1), "100", member=member),
    )
    assert accepted.status_code == 202, accepted.text
    assert [event["topic"] for event in accepted.json()["events"]] == ["commerce.orders.v1"] * 2
    await deployment.settled()

    # ¥900 at 2 points, 100 for the first purchase, 20 for joining; ¥100 by the highest tier's multiplier, 1.5.
    balance = await get(deployment, "ledger", f"{path}/balance")
    assert {name: balance[name] for name in ("available", "pending", "held", "debt")} == {
        "available": 1800 + 100 + 20,
        "pending": 150,
        "held": 0,
        "debt": 0,
    }
    assert balance["lifetime"] == {"earned": 1920, "redeemed": 0, "expired": 0}

    entries = (await get(deployment, "ledger", f"{path}/entries"))["entries"]
    made = {
        (entry["kind"], entry["rule"], entry["points"])
        for entry in entries
        if entry["kind"] in ("earned", "pending", "confirmed") and entry["rule"] != "tier-true-up"
    }
    assert {
        ("earned", "joining-gift", 20),
        ("pending", "purchase", 1800),
        ("confirmed", "purchase", 1800),
        ("earned", "first-purchase", 100),
    } <= made
    confirmed = next(entry for entry in entries if entry["kind"] == "confirmed" and entry["points"] == 1800)
    explanation = await get(deployment, "ledger", f"{path}/entries/{confirmed['entry']}/explanation")
    assert explanation["sum"]["points"] == 1800
    assert explanation["event"]["id"] == "o1:completed"
    assert "purchase" in explanation["says"]

    order = await get(deployment, "ledger", f"{path}/orders/o1")
    assert (order["status"], order["successful"]) == ("completed", True)
    assert [(turn["amount"], turn["orders"]) for turn in order["timeline"]] == [("900.00", 1)]

    became = await get(deployment, "ledger", "/v1/inputs", source=shop.ORDERS, id="o2:paid:0", member_id=member)
    assert [input_["outcome"] for input_ in became["inputs"]] == ["booked"]

    tier = await get(deployment, "tiering", f"{path}/tier")
    assert (tier["tier"], tier["growth_value"], tier["orders"], tier["next"]) == ("supreme", "900.00", 1, None)
    assert tier["since"] == order["timeline"][0]["at"]
    assert [step["tier"] for step in tier["history"]] == ["supreme"]

    inbox = await get(deployment, "notifier", f"{path}/inbox")
    assert inbox["unread"] == len(inbox["messages"]) > 0
    decisions = (await get(deployment, "notifier", f"{path}/messages"))["messages"]
    assert {"joined", "tier-upgraded"} <= {decision["touchpoint"] for decision in decisions}, decisions
    # Each that was not sent says why.
    assert all(decision["decision"] == "sent" or decision["reason"] for decision in decisions)


async def test_an_event_in_binary_mode_is_the_same_event(deployment: Deployment) -> None:
    event = shop.signed_in(ago(days=1), member="binary.m")
    headers = [(f"ce_{name}", str(value).encode()) for name, value in event.items() if name != "data"]
    producer = AIOKafkaProducer(bootstrap_servers=deployment.broker.bootstrap)
    await producer.start()
    try:
        await producer.send_and_wait(
            "commerce.signins.v1",
            orjson.dumps(event["data"]),
            key=b"binary.m",
            headers=[*headers, ("content-type", b"application/json")],
        )
    finally:
        await producer.stop()
    await publish_to_kafka(deployment, event)  # structured: the same event, so nothing more
    await deployment.settled()
    assert (await get(deployment, "ledger", "/v1/members/binary.m/balance"))["available"] == 5


async def test_a_balance_is_answered_304_until_it_changes(deployment: Deployment) -> None:
    member = "etag.m"
    await publish_to_kafka(deployment, shop.signed_in(ago(days=2), member=member))
    await deployment.settled()
    async with api(deployment, "ledger", deployment.signer.member_token(member)) as client:
        first = await client.get(f"/v1/members/{member}/balance")
        assert first.json()["available"] == 5
        known = {"If-None-Match": first.headers["etag"]}
        assert (await client.get(f"/v1/members/{member}/balance", headers=known)).status_code == 304
        await publish_to_kafka(deployment, shop.signed_in(ago(days=1), member=member))
        await deployment.settled()
        changed = await client.get(f"/v1/members/{member}/balance", headers=known)
        assert (changed.status_code, changed.json()["available"]) == (200, 10)


async def test_a_member_chooses_what_to_hear_and_reads_the_inbox(deployment: Deployment) -> None:
    member = "chooser.m"
    path = f"/v1/members/{member}"
    await publish_to_kafka(
        deployment,
        shop.registered(ago(days=2), member=member, locale="en", phone="+12025550102", email=f"{member}@example.com"),
    )
    await deployment.settled()
    async with api(deployment, "notifier", deployment.signer.member_token(member)) as client:
        chosen = await client.put(
            f"{path}/preferences",
            json={"locale": "zh-TW", "consents": [{"channel": "email", "class": "notice", "granted": True}]},
        )
        assert chosen.status_code == 200, chosen.text
        read = (await client.get(f"{path}/preferences")).json()
        assert read == chosen.json()
        assert read["locale"] == "zh-TW"
        assert {"channel": "email", "class": "notice", "granted": True}.items() <= next(
            consent for consent in read["consents"] if (consent["channel"], consent["class"]) == ("email", "notice")
        ).items()
        inbox = (await client.get(f"{path}/inbox")).json()
        marked = await client.post(
            f"{path}/inbox/read", json={"message_ids": [message["message_id"] for message in inbox["messages"]]}
        )
        assert marked.json() == {"marked": inbox["unread"], "unread": 0}


@pytest.mark.parametrize(
    ("service", "path", "scope"),
    [
        ("ledger", "/v1/members/{}/balance", "ledger:read"),
        ("ledger", "/v1/members/{}/entries", "ledger:read"),
        ("tiering", "/v1/members/{}/tier", "tiering:read"),
        ("notifier", "/v1/members/{}/inbox", "notify:read"),
        ("notifier", "/v1/members/{}/preferences", "notify:read"),
    ],
)
async def test_tokens_open_what_they_say_and_no_more(
    deployment: Deployment, service: str, path: str, scope: str
) -> None:
    member, signer = "owner.m", deployment.signer
    await publish_to_kafka(deployment, shop.registered("2026-10-01T10:00:00+08:00", member=member))
    await deployment.settled()
    expected = {
        None: 401,
        signer.token(ttl_s=-60): 401,
        signer.token(scopes=["events:write"]): 403,
        signer.member_token("another.m"): 404,
        signer.member_token(member): 200,
        signer.token(scopes=[scope]): 200,
    }
    for token, status in expected.items():
        async with api(deployment, service, token) as client:
            answer = await client.get(path.format(member))
        assert answer.status_code == status, answer.text
        if status != 200:
            assert answer.headers["content-type"] == "application/problem+json"


async def test_an_event_that_the_contracts_refuse_is_refused_at_once_over_http(deployment: Deployment) -> None:
    broken = shop.paid("o1", ago(days=1), "9OO", member="http.m")
    good = shop.paid("o2", ago(days=1), "900", member="http.m")
    answer = await post_events(deployment, good, broken)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == "[1].data.lines[0].amount"
    async with api(deployment, "ledger", deployment.signer.token(scopes=["ledger:read"])) as client:
        assert (await client.post("/v1/events", json=good)).status_code == 403
        assert (await client.get("/v1/members/http.m/balance")).status_code == 404  # nothing was published


async def test_O1_a_day_published_again_changes_nothing(deployment: Deployment) -> None:
    day = of_shop("again", members=40)
    await deployment.publish(day.events)
    await deployment.settled()
    before = await _all_heads(deployment)
    await deployment.publish(day.events)
    await deployment.settled()
    assert await _all_heads(deployment) == before
    await deployment.ends_as_modelled(day)


async def _all_heads(deployment: Deployment) -> list[Any]:
    """Every account's version and chain head, and what each service has decided."""
    async with deployment.database() as look:
        heads = await look.fetch("SELECT shard, account, version, head FROM ledger.account ORDER BY 1, 2")
        members = await look.fetch("SELECT * FROM tiering.member ORDER BY 1, 2")
        messages = await look.fetchval("SELECT count(*) FROM notifier.message")
    return [heads, members, messages]


async def test_two_instances_share_the_shards_and_one_alone_takes_them_all(deployment: Deployment) -> None:
    second = deployment.service("ledger", INSTANCE="second")
    second.start("--workers", "1")
    first = deployment.services["ledger"]
    try:
        await second.ready()
        await publish_to_kafka(deployment, *(shop.signed_in(ago(days=1), member=f"shared.{n}") for n in range(40)))
        await deployment.settled()
        token = deployment.signer.token(scopes=["ledger:read"])
        for instance in (first, second):
            async with httpx.AsyncClient(base_url=instance.url, headers={"Authorization": f"Bearer {token}"}) as client:
                for n in range(40):
                    assert (await client.get(f"/v1/members/shared.{n}/balance")).json()["available"] == 5
        assert await first.stop() == 0
        await publish_to_kafka(deployment, *(shop.signed_in(ago(hours=60), member=f"shared.{n}") for n in range(40)))
        await deployment.settled()
        async with deployment.database() as look:
            points = await look.fetchval(
                "SELECT sum(available) FROM ledger.account JOIN ledger.identity USING (shard, account) "
                "WHERE member_id LIKE 'shared.%'"
            )
        assert points == 40 * 10
        assert await second.stop() == 0
    finally:
        second.destroy()
