"""A record that cannot be booked becomes a dead letter with its place and reason; the others are booked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from deploy.shop.events import KAFKA_HEADERS
from deploy.shop.topic import records
from services.kit.kafka import partition_of
from tests.deployment import Deployment, Service, eventually
from tests.model import events as shop

ORDERS, PROFILES, INTERNAL = "commerce.orders.v1", "commerce.profiles.v1", "loyalty.internal.v1"
SHARDS = 16


def ago(**span: float) -> str:
    """A business time so long before now (or after it)."""
    return (datetime.now(UTC) - timedelta(**span)).isoformat(timespec="milliseconds")


def paid(member: str, order: str = "o1", amount: str = "900", at: str | None = None, **more: Any) -> shop.Event:
    return shop.paid(order, at or ago(days=1), amount, member=member, **more)


@dataclass(frozen=True)
class Sent:
    """A record and the place that the broker gave it."""

    topic: str
    partition: int
    offset: int


async def send(deployment: Deployment, *records: tuple[str, str, bytes], partition: int | None = None) -> list[Sent]:
    """Publish (topic, key, value) in order, to the keys' partitions or to this one."""
    producer = AIOKafkaProducer(bootstrap_servers=deployment.broker.bootstrap)
    await producer.start()
    try:
        placed = []
        for topic, key, value in records:
            answer = await producer.send_and_wait(
                topic, value, key=key.encode(), headers=KAFKA_HEADERS, partition=partition
            )
            placed.append(Sent(topic, answer.partition, answer.offset))
        return placed
    finally:
        await producer.stop()


async def dead_letters(deployment: Deployment, service: str = "ledger") -> dict[Sent, dict[str, Any]]:
    """The data of a service's dead letters, by the places of their records."""
    found = {}
    async for record in records(deployment.broker.bootstrap, "loyalty.dead_letters.v1"):
        data = orjson.loads(record.value)["data"]
        if data["service"] == service:
            origin = data["origin"]
            found[Sent(origin["topic"], origin["partition"], origin["offset"])] = data
    return found


async def balance(deployment: Deployment, member: str) -> tuple[int, int]:
    """Points (available, pending) as stored."""
    async with deployment.database() as look:
        row = await look.fetchrow(
            "SELECT available, pending FROM ledger.account JOIN ledger.identity USING (shard, account) "
            "WHERE member_id = $1",
            member,
        )
    return (row["available"], row["pending"]) if row is not None else (0, 0)


async def test_what_the_contracts_refuse_is_a_letter_and_the_rest_is_booked(deployment: Deployment) -> None:
    member = "refused.m"
    good = paid(member)
    records: Sequence[tuple[bytes, str, str | None]] = [
        (b"{no json", "not_parsable", None),
        (_with_amount(paid(member, "o2"), "1O.00"), "broken_field", "data.lines[0].amount"),
        (orjson.dumps(paid(member, "o3") | {"type": "commerce.order.packed.v1"}), "unknown_type", "type"),
        (orjson.dumps(shop.signed_in(ago(days=1), member=member)), "unknown_type", "type"),
        (orjson.dumps(paid("another", "o4")), "key_mismatch", "key"),
        (_with(paid(member, "o5"), currency="USD"), "other_currency", "data.currency"),
        (_with(paid(member, "o6"), note="x" * 256 * 1024), "too_large", None),
        (orjson.dumps(paid(member, "o7", at=ago(days=401))), "too_late", "time"),
        (orjson.dumps(paid(member, "o8", at=ago(minutes=-6))), "in_future", "time"),
        (orjson.dumps(good), "", None),
        (_with_amount(good, "901"), "conflict", "data"),
        (orjson.dumps(good), "", None),  # the same again is known, and no conflict
        (orjson.dumps(paid(member, "o9", "100")), "", None),
    ]
    sent = await send(deployment, *((ORDERS, member, value) for value, _, _ in records))
    await deployment.settled()
    found = await dead_letters(deployment)
    assert [
        (found[place]["reason"], found[place].get("field")) if place in found else ("", None) for place in sent
    ] == [(reason, field) for _, reason, field in records]
    assert await balance(deployment, member) == (0, 1800 + 100)


async def test_a_letter_of_a_profile_has_no_body_wherever_the_record_went(deployment: Deployment) -> None:
    member, phone = "secret.m", "+12025550142"
    broken = orjson.dumps(shop.profile(ago(days=1), member=member, phone=phone, birthday="the first of May"))
    right = partition_of(member.encode(), SHARDS)
    await send(deployment, (PROFILES, member, broken))
    await send(deployment, (PROFILES, member, broken), partition=(right + 1) % SHARDS)
    await deployment.settled()
    found = {
        place: data
        for service in ("ledger", "notifier")
        for place, data in (await dead_letters(deployment, service)).items()
        if place.topic in (PROFILES, INTERNAL)
    }
    assert {place.topic for place in found} == {PROFILES, INTERNAL}
    for data in found.values():
        assert (data["reason"], data["field"]) == ("broken_field", "data.birthday")
        assert "record" not in data


async def test_a_failed_input_is_a_letter_and_is_driven_again_after_the_fix(deployment: Deployment) -> None:
    member = "failed.m"
    async with deployment.database() as database:
        # A defect that no record is to blame for.
        await database.execute(
            """
            CREATE FUNCTION ledger.defect() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'a defect'; END $$;
            CREATE TRIGGER defect BEFORE INSERT ON ledger.journal
                FOR EACH ROW WHEN (NEW.type = 'review_published') EXECUTE FUNCTION ledger.defect();
            """
        )
        try:
            review = orjson.dumps(shop.review("r1", ago(days=1), member=member))
            (place,) = await send(deployment, ("commerce.reviews.v1", member, review))
            await send(deployment, (ORDERS, member, orjson.dumps(paid(member))))
            await deployment.settled()
            assert (await dead_letters(deployment))[place]["reason"] == "failed"
            assert await balance(deployment, member) == (0, 1800)
        finally:
            await database.execute("DROP TRIGGER defect ON ledger.journal; DROP FUNCTION ledger.defect")
    redriven = deployment.services["ledger"].command("redrive", "--reason", "failed")
    assert (redriven.returncode, "1 redriven" in redriven.stdout) == (0, True), redriven
    again = deployment.services["ledger"].command("redrive", "--reason", "failed")
    assert "redriven" not in again.stdout, again
    await deployment.settled()
    assert await balance(deployment, member) == (20, 1800)
    await deployment.verified()


async def test_mend_c01_a_publisher_of_nonsense_stops_nobody(deployment: Deployment) -> None:
    member = "nonsense.m"
    ledger = deployment.services["ledger"]
    nonsense = b'{"source": "/shop/nonsense"'
    sent = await send(deployment, *[(ORDERS, member, nonsense)] * 200, (ORDERS, member, orjson.dumps(paid(member))))
    await deployment.settled()
    assert await balance(deployment, member) == (0, 1800)
    assert len((await dead_letters(deployment)).keys() & set(sent)) == 200
    await eventually(lambda: _is_named(ledger, "/shop/nonsense"), what="the source that is refused is named")


async def _is_named(ledger: Service, source: str) -> bool:
    """Whether the ledger, which is well, names a source in its state."""
    status, document = await ledger.status()
    assert status == 200, document
    return any(source in worker["consumer"]["detail"] for worker in document["workers"].values())


def _with(event: shop.Event, **data: Any) -> bytes:
    return orjson.dumps(event | {"data": event["data"] | data})


def _with_amount(event: shop.Event, amount: str) -> bytes:
    return _with(event, lines=[shop.line("l1", amount)])
