"""POST /v1/events on a real broker: what is accepted is on its topic, what is refused leaves nothing behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local.processes import free_port
from deploy.local.tokens import Signer
from schemas.events import read_event
from schemas.topics import BY_NAME
from services.kit.calendar import parse_rfc3339
from services.kit.kafka import shard_of
from services.kit.topics import ensure_topics
from services.ledger.api.publisher import Publisher
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import LedgerUnderTest, client_of, ledger_on
from tests.model import events as shop

ONE = {"Content-Type": "application/cloudevents+json"}
BATCH = {"Content-Type": "application/cloudevents-batch+json; charset=UTF-8"}
TOPICS = ("commerce.orders.v1", "commerce.signins.v1", "commerce.profiles.v1")


@pytest.fixture(scope="module")
async def ledger(make_database: MakeDatabase, jwks_file: Path, kafka: str) -> AsyncIterator[LedgerUnderTest]:
    await ensure_topics(kafka, topics=[BY_NAME[name] for name in TOPICS])
    async with ledger_on(make_database(), jwks_file=jwks_file, kafka_bootstrap_servers=kafka) as under_test:
        under_test.now = parse_rfc3339("2026-03-01T12:00:00+08:00")
        yield under_test


@pytest.fixture(scope="module")
async def publisher(ledger: LedgerUnderTest) -> AsyncIterator[Publisher]:
    made = Publisher(ledger.settings)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture(scope="module")
async def client(ledger: LedgerUnderTest, publisher: Publisher, signer: Signer) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(ledger.app(publisher), signer.token(scopes=["events:write"])) as made:
        yield made


async def records_of(kafka: str, member: str) -> list[Any]:
    """All records about a member, by topic and offset."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        shard = shard_of(member, 16)
        places = [TopicPartition(topic, shard) for topic in TOPICS]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found = []
        for place in places:
            consumer.seek(place, 0)
            while await consumer.position(place) < ends[place]:
                for records in (await consumer.getmany(place, timeout_ms=1000)).values():
                    found += [record for record in records if record.key == member.encode()]
        return found
    finally:
        await consumer.stop()


def order(member: str, **changes: Any) -> dict[str, Any]:
    return shop.paid("o1", shop.d(1), "900", member=member, id=f"{member}:paid", **changes)


async def test_an_event_is_published_to_its_topic_as_it_was_sent(client: httpx.AsyncClient, kafka: str) -> None:
    event = order("ev1") | {"traceparent": "kept"}
    answer = await client.post("/v1/events", content=orjson.dumps(event), headers=ONE)
    assert answer.status_code == 202, answer.text
    assert answer.json() == {
        "events": [
            {
                "subject": "ev1",
                "source": shop.ORDERS,
                "id": "ev1:paid",
                "time": "2026-03-01T02:00:00Z",
                "topic": "commerce.orders.v1",
            }
        ]
    }
    (record,) = await records_of(kafka, "ev1")
    assert orjson.loads(record.value) == event
    assert read_event(record.value, record.headers, record.key)["id"] == "ev1:paid"


async def test_a_batch_keeps_the_order_of_a_member(client: httpx.AsyncClient, kafka: str) -> None:
    batch = [shop.signed_in(shop.d(day), member="ev2", id=f"ev2:{day}") for day in range(-9, 1)]
    batch.append(shop.registered(shop.d(0), member="ev2", id="ev2:joined"))
    answer = await client.post("/v1/events", content=orjson.dumps(batch), headers=BATCH)
    assert (answer.status_code, len(answer.json()["events"])) == (202, 11)
    events = [orjson.loads(record.value) for record in await records_of(kafka, "ev2")]
    assert sorted(events, key=lambda event: event["id"]) == sorted(batch, key=lambda event: event["id"])
    assert [event["id"] for event in events if "signed_in" in event["type"]] == [event["id"] for event in batch[:10]]


async def test_one_broken_event_keeps_the_whole_batch_out(client: httpx.AsyncClient, kafka: str) -> None:
    broken = order("ev3")
    broken["data"]["lines"][0]["amount"] = "nine"
    later = order("ev3") | {"time": "2026-03-01T10:00:00Z"}
    batch = [order("ev3"), broken, later]
    answer = await client.post("/v1/events", content=orjson.dumps(batch), headers=BATCH)
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (422, "urn:loyalty:problem:event-refused")
    assert [(error["field"], error["reason"]) for error in problem["errors"]] == [
        ("[1].data.lines[0].amount", "broken_field"),
        ("[2].time", "in_future"),
    ]
    assert problem["field"] == "[1].data.lines[0].amount"
    assert await records_of(kafka, "ev3") == []


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"type": "commerce.order.gifted.v1"}, "type", "unknown_type"),
        ({"type": "loyalty.points.earned.v1"}, None, "broken_field"),
        ({"subject": "+86 139"}, "subject", "broken_field"),
        ({"time": "2020-01-01T00:00:00Z"}, "time", "too_late"),
        ({"currency": "USD"}, "data.currency", "other_currency"),
        ({"amount": "1.001"}, "data.lines.amount", "broken_field"),
        ({"padding": "x" * 300_000}, None, "too_large"),
    ],
)
async def test_what_the_contract_refuses_is_named(
    client: httpx.AsyncClient, changes: dict[str, Any], field: str | None, reason: str
) -> None:
    event = order("ev4")
    for name, value in changes.items():
        if name == "currency":
            event["data"][name] = value
        elif name == "amount":
            event["data"]["lines"][0][name] = value
        else:
            event[name] = value
    answer = await client.post("/v1/events", content=orjson.dumps(event), headers=ONE)
    problem = answer.json()
    assert (answer.status_code, problem["reason"]) == (422, reason), problem
    if field is not None:
        assert problem["field"] == field


async def test_only_the_shops_events_are_taken(client: httpx.AsyncClient) -> None:
    receipt = shop.event(
        "notify.receipt.v1",
        {"message_id": "m", "attempt": 1, "gateway": "sms", "status": "delivered"},
        id="r",
        at=shop.d(1),
        member="ev5",
        source="/gateway",
    )
    answer = await client.post("/v1/events", content=orjson.dumps(receipt), headers=ONE)
    assert (answer.status_code, answer.json()["field"]) == (422, "type")


async def test_the_form_of_a_request_is_checked(client: httpx.AsyncClient) -> None:
    async def status(content: bytes, headers: dict[str, str]) -> int:
        answer = await client.post("/v1/events", content=content, headers=headers)
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.status_code

    assert await status(orjson.dumps(order("ev6")), {"Content-Type": "application/json"}) == 415
    assert await status(b"{", ONE) == 422
    assert await status(b"[", BATCH) == 400
    assert await status(b"[]", BATCH) == 400
    assert await status(orjson.dumps(order("ev6")), BATCH) == 400
    assert await status(orjson.dumps([1] * 1001), BATCH) == 413
    assert await status(b" " * (1024 * 1024 + 1), BATCH) == 413


async def test_mend_d02_a_credential_is_bound_to_its_sources_types_and_member(
    ledger: LedgerUnderTest, publisher: Publisher, signer: Signer
) -> None:
    scopes = ["events:write"]
    tokens = {
        None: 401,
        signer.token(scopes=["ledger:read"]): 403,
        signer.token(scopes=scopes, sources=["/erp"]): 403,
        signer.token(scopes=scopes, sources=None): 403,
        signer.token(scopes=scopes, types=None): 403,
        signer.token(scopes=scopes, sources="/shop/orders", types="commerce.order.paid.v1"): 403,
        signer.token(scopes=scopes, types=["commerce.review.published.v1"]): 403,
        signer.token(scopes=scopes, member="ev8"): 404,
        signer.token(scopes=scopes, sources=["/shop/*"], types=["commerce.order.*"]): 202,
        signer.token(scopes=scopes, member="ev7"): 202,
    }
    for token, status in tokens.items():
        async with client_of(ledger.app(publisher), token) as client:
            answer = await client.post("/v1/events", content=orjson.dumps(order("ev7")), headers=ONE)
        assert answer.status_code == status, answer.text


async def test_mend_d02_a_source_says_only_the_types_that_the_settings_give_it(
    ledger: LedgerUnderTest, publisher: Publisher, signer: Signer
) -> None:
    bound = LedgerUnderTest(
        ledger.dsn,
        ledger.pool,
        ledger.settings.model_copy(update={"event_sources": {"/shop/*": ["commerce.review.*"]}}),
    )
    bound.now = ledger.now
    async with client_of(bound.app(publisher), signer.token(scopes=["events:write"])) as client:
        answer = await client.post("/v1/events", content=orjson.dumps(order("ev9")), headers=ONE)
    assert (answer.status_code, answer.json()["field"], answer.json()["reason"]) == (422, "source", "broken_field")


async def test_brokers_away_is_said_in_time_and_passes(
    ledger: LedgerUnderTest, signer: Signer, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.ledger.api.publisher.TIMEOUT_SECONDS", 1.0)
    nobody = ledger.settings.model_copy(update={"kafka_bootstrap_servers": f"127.0.0.1:{free_port()}"})
    publisher = Publisher(nobody)
    async with client_of(ledger.app(publisher), signer.token(scopes=["events:write"])) as client:
        answer = await client.post("/v1/events", content=orjson.dumps(order("ev9")), headers=ONE)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:loyalty:problem:unavailable")
        assert answer.headers["retry-after"] == "5"
    await publisher.stop()
