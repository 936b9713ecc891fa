"""The notifier as it runs: a real process, broker and database, from facts to an inbox and requests to gateways."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local.kafka import ONE_BROKER
from deploy.local.processes import free_port
from deploy.local.tokens import Signer
from schemas import program as programs
from schemas.events import parse_event
from services.kit.calendar import MICROS_PER_SECOND, rfc3339
from services.kit.clock import now
from services.kit.migrate import migrate
from services.kit.topics import ensure_topics
from services.notifier.audit.verify import examine
from services.notifier.settings import NotifierSettings
from tests.conftest import REPOSITORY, MakeDatabase, as_role
from tests.integration.test_notifier_booking import personal_data

SHARDS = 16
HOUR = 3600 * MICROS_PER_SECOND
START = now() - 10 * HOUR
STRUCTURED = [("content-type", b"application/cloudevents+json")]
PROGRAM = REPOSITORY / "deploy" / "program.yaml"
TIMEOUT_S = 60
NAME, PHONE, MAIL = "韩梅梅", "13900139000", "han.meimei@shop.example"

TOPIC = {"commerce": "commerce.profiles.v1", "points": "loyalty.points.v1", "tier": "loyalty.tiers.v1"}


def event(kind: str, member_id: str, number: int, hour: float, data: dict[str, Any]) -> dict[str, Any]:
    source = {"commerce": "/shop", "points": "/loyalty/ledger", "tier": "/loyalty/tiering"}[topic_part(kind)]
    return {
        "specversion": "1.0",
        "id": f"{member_id}:{kind}:{number}",
        "source": source,
        "type": kind,
        "subject": member_id,
        "time": rfc3339(START + round(hour * HOUR)),
        "data": data,
    }


def topic_part(kind: str) -> str:
    first, second = kind.split(".")[:2]
    return first if first == "commerce" else second


def registered(member_id: str, hour: float = 0, **fields: Any) -> dict[str, Any]:
    data = {"name": NAME, "phone": PHONE, "email": MAIL, "locale": "zh-CN", **fields}
    return event("commerce.member.registered.v1", member_id, 0, hour, data)


def consent(member_id: str, channel: str, message_class: str, *, granted: bool, hour: float = 1) -> dict[str, Any]:
    data = {"channel": channel, "class": message_class, "granted": granted, "evidence": "form 3"}
    return event("commerce.consent.changed.v1", member_id, round(hour * 100), hour, data)


def points(kind: str, member_id: str, version: int, order_id: str | None, hour: float, **more: Any) -> dict[str, Any]:
    time = rfc3339(START + round(hour * HOUR))
    cause = {"type": "commerce.order.completed.v1", "source": "/shop", "id": f"e{version}", "time": time}
    cause |= {"rule": "purchase", "program_version": "2026.1"}
    if order_id is not None:
        cause |= {"order_id": order_id, "shop": ""}
    data = {
        "member_version": version,
        "event_no": 0,
        "points": 630,
        "balance": {"available": 700, "pending": 0, "held": 0, "debt": more.get("debt_made", 0)},
        "cause": cause,
        "expires_on": "2099-12-31",
        **more,
    }
    return event(f"loyalty.points.{kind}.v1", member_id, version, hour, data)


def tier(kind: str, member_id: str, version: int, name: str, before: str, hour: float) -> dict[str, Any]:
    time = rfc3339(START + round(hour * HOUR))
    cause = {"type": "loyalty.order.qualified.v1", "source": "/loyalty/ledger", "id": "q", "time": time}
    data = {
        "member_version": version,
        "event_no": 0,
        "tier": name,
        "previous_tier": before,
        "effective_at": time,
        "history": [],
        "growth_value": "700.00",
        "orders": 3,
        "program_version": "2026.1",
        "cause": {**cause, "program_version": "2026.1"},
    }
    return event(f"loyalty.tier.{kind}.v1", member_id, version, hour, data)


class Others:
    """Publishes events of the shop and facts of the ledger and of tiering."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def publish(self, *events: dict[str, Any]) -> None:
        for each in events:
            topic = TOPIC[topic_part(each["type"])]
            key = each["subject"].encode()
            await self._producer.send(topic, orjson.dumps(each), key=key, headers=STRUCTURED)
        await self._producer.flush()


@pytest.fixture(scope="module")
async def others(kafka: str) -> AsyncIterator[Others]:
    """Publishers on a broker that has the topics and the default program."""
    await ensure_topics(kafka)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True)
    await producer.start()
    document = programs.load(PROGRAM.read_text("utf-8"))
    data = {
        "program": document.program,
        "version": document.version,
        "content_hash": "sha256:" + "0" * 64,
        "effective_from": document.effective_from.isoformat(),
        "published_at": rfc3339(START),
        "document": document.document(),
    }
    published = {**event("commerce.x", document.program, 1, 0, data), "type": "loyalty.program.published.v1"}
    await producer.send_and_wait(
        "loyalty.program.v1", orjson.dumps(published), key=document.version.encode(), headers=STRUCTURED
    )
    yield Others(producer)
    await producer.stop()


async def until(holds: Callable[[], Awaitable[bool]], otherwise: Callable[[], str] = lambda: "never came true") -> None:
    """Waits for something to become true; fails with a reason after a while."""
    deadline = asyncio.get_running_loop().time() + TIMEOUT_S
    while not await holds():
        assert asyncio.get_running_loop().time() < deadline, otherwise()
        await asyncio.sleep(0.1)


class Stage:
    """A notifier in its own process, on a database of its own."""

    def __init__(self, dsn: str, environment: dict[str, str], log: Path) -> None:
        self.dsn = dsn
        self.log = log
        self.port = free_port()
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.notifier", "serve", "--port", str(self.port),
                env=self._environment, cwd=REPOSITORY, stderr=log, stdout=log, start_new_session=True,
            )  # fmt: skip

    async def kill(self) -> None:
        """Ends the whole process group as `kill -9` does."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def stop(self) -> int:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.terminate()
        async with asyncio.timeout(15):
            return await self._process.wait()

    async def ready(self) -> None:
        async with self.client("") as client:

            async def is_ready() -> bool:
                try:
                    return (await client.get("/status")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(is_ready, lambda: f"not ready: {self.log.read_text()[-3000:]}")

    def client(self, token: str) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", headers=headers)

    async def rows(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.dsn, server_settings={"search_path": "notifier"})
        try:
            return [tuple(row) for row in await connection.fetch(statement, *arguments)]
        finally:
            await connection.close()

    async def decided(self, member_id: str, count: int) -> None:
        """Returns when so many decisions about a member are there and nothing waits to be sent."""

        async def settled() -> bool:
            found = await self.rows(
                "SELECT (SELECT count(*) FROM message WHERE member_id = $1), (SELECT count(*) FROM outbox)", member_id
            )
            return bool(found[0][0] >= count and found[0][1] == 0)

        await until(settled)

    async def report(self) -> dict[str, Any]:
        connection = await asyncpg.connect(self.dsn, server_settings={"search_path": "notifier"})
        try:
            return await examine(connection, SHARDS)
        finally:
            await connection.close()


@pytest.fixture(scope="module")
async def stage(
    make_database: MakeDatabase, kafka: str, signer: Signer, others: Others, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    dsn = make_database()
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": as_role(dsn, "notifier"),
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        **ONE_BROKER,
        **signer.environment,
        "SESSION_TIMEOUT_SECONDS": "6",
        "INSTANCE": "test",
        "SHOP_NAME": "示例商店",
    }
    fields: dict[str, Any] = {"database_url": as_role(dsn, "notifier"), "kafka_bootstrap_servers": kafka}
    await migrate(NotifierSettings(**fields, migration_database_url=dsn), "services.notifier")
    made = Stage(dsn, environment, tmp_path_factory.mktemp("notifier") / "notifier.log")
    await made.start()
    yield made
    await made.stop()
    # Whatever happened, no log line may hold what identifies a person.
    assert not any(word in made.log.read_text() for word in (NAME, PHONE, MAIL))


async def requests_of(kafka: str, channel: str, member_id: str) -> list[dict[str, Any]]:
    """What the gateways of a channel are asked to send to a member."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    found: list[dict[str, Any]] = []
    try:
        partitions = [TopicPartition(f"notify.{channel}.v1", number) for number in range(SHARDS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        while any([await consumer.position(part) < ends[part] for part in partitions]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    if record.key == member_id.encode():
                        assert dict(record.headers)["content-type"] == b"application/cloudevents+json"
                        found.append(orjson.loads(record.value))
    finally:
        await consumer.stop()
    return found


async def test_facts_become_an_inbox_and_requests_to_gateways(
    stage: Stage, others: Others, kafka: str, signer: Signer
) -> None:
    member_id = f"spine-{stage.port}"
    await others.publish(registered(member_id))
    await others.publish(tier("enrolled", member_id, 1, "none", "none", 0))
    await others.publish(points("earned", member_id, 1, None, 1, points=5))
    await others.publish(points("pending", member_id, 2, "17", 2))
    await others.publish(points("confirmed", member_id, 3, "17", 3))
    await others.publish(tier("upgraded", member_id, 2, "vip", "none", 3))
    await others.publish(points("clawed_back", member_id, 4, "17", 4, debt_made=30))
    # joined: app and mail; earned: app; confirmed: app and text; upgraded and debt: all three.
    await stage.decided(member_id, 2 + 1 + 2 + 3 + 3)
    await stage.ready()
    async with stage.client(signer.member_token(member_id)) as app:
        answer = await app.get(f"/v1/members/{member_id}/inbox")
        assert answer.headers["cache-control"] == "private, no-cache"
        inbox = answer.json()
        texts = {message["touchpoint"]: message for message in inbox["messages"]}
        assert inbox["unread"] == 5
        assert texts["joined"]["title"] == "欢迎成为示例商店会员"
        assert "630 积分已可使用" in texts["points-confirmed"]["text"]
        assert "VIP会员" in texts["tier-upgraded"]["text"]
        assert "目前欠 30 积分" in texts["clawback-debt"]["text"]
        assert "您获得 5 积分" in texts["points-earned"]["text"]
        decisions = (await app.get(f"/v1/members/{member_id}/messages")).json()["messages"]
    assert {(each["decision"], each["reason"]) for each in decisions} == {("sent", None)}
    assert {each["attempts"] for each in decisions if each["channel"] != "inapp"} == {1}
    sent = await requests_of(kafka, "sms", member_id) + await requests_of(kafka, "email", member_id)
    assert len(sent) == 6
    for request in sent:
        parse_event(orjson.dumps(request))
    assert {request["data"]["to"] for request in sent} == {f"+86{PHONE}", MAIL}
    assert len({request["data"]["dedupe_key"] for request in sent}) == 6
    assert (await stage.report())["examples"] == []


async def test_S1_facts_published_again_make_no_second_message(stage: Stage, others: Others, kafka: str) -> None:
    member_id = f"again-{stage.port}"
    facts = [points("confirmed", member_id, 1, "17", 3), points("earned", member_id, 2, None, 4)]
    await others.publish(registered(member_id), *facts, *facts)
    # The same facts from a ledger that was built anew: other versions, the same business.
    rebuilt = [points("confirmed", member_id, 11, "17", 3), points("earned", member_id, 12, None, 4)]
    await others.publish(*rebuilt, points("confirmed", member_id, 13, "last", 5))
    await stage.decided(member_id, 5)
    assert len(await stage.rows("SELECT 1 FROM message WHERE member_id = $1", member_id)) == 5
    assert len(await requests_of(kafka, "sms", member_id)) == 2


async def test_S2_withheld_messages_say_why(stage: Stage, others: Others, kafka: str, signer: Signer) -> None:
    member_id = f"why-{stage.port}"
    await others.publish(registered(member_id, phone=None), consent(member_id, "email", "notice", granted=False))
    await others.publish(tier("upgraded", member_id, 1, "vip", "none", 3))
    await others.publish(points("confirmed", member_id, 2, "old", -24 * 20))
    await stage.decided(member_id, 5)
    await stage.ready()
    async with stage.client(signer.token(scopes=["notify:read"])) as desk:
        page = (await desk.get(f"/v1/members/{member_id}/messages", params={"limit": 2})).json()
        rest = (await desk.get(f"/v1/members/{member_id}/messages", params={"cursor": page["next_cursor"]})).json()
    assert (len(page["messages"]), len(rest["messages"]), rest["next_cursor"]) == (2, 3, None)
    reasons = {(each["touchpoint"], each["channel"]): each["reason"] for each in page["messages"] + rest["messages"]}
    assert reasons == {
        ("tier-upgraded", "inapp"): None,
        ("tier-upgraded", "sms"): "no_address",
        ("tier-upgraded", "email"): "no_consent",
        ("points-confirmed", "inapp"): "not_after",
        ("points-confirmed", "sms"): "not_after",
    }
    assert await requests_of(kafka, "email", member_id) == []


async def test_a_member_reads_and_chooses_over_http(stage: Stage, others: Others, signer: Signer) -> None:
    member_id = f"app-{stage.port}"
    await others.publish(registered(member_id, locale="en"))
    await others.publish(*[points("confirmed", member_id, number, str(number), number / 10) for number in range(1, 6)])
    await stage.decided(member_id, 10)
    await stage.ready()
    inbox = f"/v1/members/{member_id}/inbox"
    preferences = f"/v1/members/{member_id}/preferences"
    async with stage.client(signer.member_token(member_id)) as app:
        first = (await app.get(inbox, params={"limit": 3})).json()
        rest = (await app.get(inbox, params={"limit": 3, "cursor": first["next_cursor"]})).json()
        paged = [*first["messages"], *rest["messages"]]
        assert [message["title"] for message in paged] == ["Your order's points are here"] * 5
        assert (first["unread"], rest["next_cursor"]) == (5, None)
        answer = await app.post(f"{inbox}/read", json={"message_ids": [paged[0]["message_id"]]})
        assert answer.json() == {"marked": 1, "unread": 4}
        answer = await app.post(f"{inbox}/read", json={"through": paged[2]["message_id"]})
        assert answer.json() == {"marked": 3, "unread": 1}
        assert [message["read_at"] is None for message in (await app.get(inbox)).json()["messages"]] == [
            False, True, False, False, False,
        ]  # fmt: skip
        cells = {(c["channel"], c["class"]): c for c in (await app.get(preferences)).json()["consents"]}
        assert len(cells) == 12
        assert not cells["sms", "promo"]["granted"]
        cell = {"channel": "sms", "class": "notice", "granted": False}
        wish = {"locale": "zh-TW", "consents": [cell]}
        chosen = (await app.put(preferences, json=wish)).json()
        assert chosen["locale"] == "zh-TW"
        cells = {(c["channel"], c["class"]): c for c in chosen["consents"]}
        assert not cells["sms", "notice"]["granted"]
        assert cells["sms", "notice"]["recorded_at"] is not None
        assert (await app.get(preferences)).json() == chosen
        assert (await app.get(inbox)).json()["messages"][0]["title"] == "訂單點數已入帳"
        twice = {"consents": [cell, cell]}
        assert (await app.put(preferences, json=twice)).status_code == 422
        assert (await app.put(preferences, json={"local": "en"})).status_code == 422
        assert (await app.get(inbox, params={"cursor": "no"})).status_code == 422
    journal = await stage.rows("SELECT actor, preference, value FROM preference_change WHERE member_id = $1", member_id)
    assert sorted(journal) == [
        (f"member:{member_id}", "locale", "zh-TW"),
        (f"member:{member_id}", "sms/notice", "withdrawn"),
    ]
    await others.publish(points("confirmed", member_id, 9, "9", 2))
    await stage.decided(member_id, 12)
    assert await stage.rows(
        "SELECT reason FROM message WHERE member_id = $1 AND occasion = 'order:/9' AND channel = 'sms'", member_id
    ) == [("no_consent",)]


async def test_tokens_open_what_they_should(stage: Stage, signer: Signer) -> None:
    await stage.ready()
    paths = ["/v1/members/m/inbox", "/v1/members/m/messages", "/v1/members/m/preferences"]
    cases = [
        ("", 401),
        (signer.token(ttl_s=-60), 401),
        (signer.token(scopes=["ledger:read"]), 403),
        (signer.member_token("another"), 404),
        (signer.member_token("m"), 200),
        (signer.token(scopes=["notify:read"]), 200),
    ]
    for token, status in cases:
        async with stage.client(token) as client:
            for path in paths:
                answer = await client.get(path)
                assert answer.status_code == status, (path, status)
                if status != 200:
                    assert answer.headers["content-type"] == "application/problem+json"
    wish = {"consents": [{"channel": "sms", "class": "promo", "granted": True}]}
    for token, status in [
        (signer.token(scopes=["notify:read"]), 403),
        (signer.member_token("another"), 404),
        (signer.token(scopes=["notify:read", "notify:admin"]), 200),
    ]:
        async with stage.client(token) as client:
            assert (await client.put("/v1/members/m/preferences", json=wish)).status_code == status
            assert (await client.post("/v1/members/m/inbox/read", json={})).status_code == status


async def test_a_text_can_be_previewed(stage: Stage, others: Others, signer: Signer) -> None:
    await stage.ready()
    path = "/v1/templates/points-confirmed/preview"
    async with stage.client(signer.token(scopes=["notify:admin"])) as desk:
        mail = (await desk.post(path, json={"channel": "email", "locale": "en", "name": "Ann"})).json()
        assert mail["title"] == "The points of order 20260301-17 are here"
        assert "Hello Ann," in mail["text"]
        assert mail["html"].startswith("<!doctype html>")
        own = {"channel": "sms", "locale": "zh", "parameters": {"points": 7, "order_id": "A-1"}}
        assert "订单A-1的7积分" in (await desk.post(path, json=own)).json()["text"]
        assert (await desk.post(path, json={"channel": "push"})).status_code == 404
        assert (await desk.post(path, json={"channel": "sms", "parameters": {"points": "x"}})).status_code == 422
        assert (await desk.post("/v1/templates/no-such/preview", json={"channel": "sms"})).status_code == 422
    async with stage.client(signer.token(scopes=["notify:read"])) as reader:
        assert (await reader.post(path, json={"channel": "sms"})).status_code == 403


async def test_an_erased_member_leaves_nothing_behind(stage: Stage, others: Others, signer: Signer) -> None:
    member_id = f"gone-{stage.port}"
    person: dict[str, Any] = {"name": "将忘者", "phone": "13700137000", "email": "to.be.forgotten@shop.example"}
    grant = consent(member_id, "sms", "promo", granted=True)
    grant["data"]["evidence"] = "a page signed by hand"
    await others.publish(registered(member_id, **person), grant)
    await others.publish(points("confirmed", member_id, 1, "17", 3))
    await stage.decided(member_id, 2)
    await others.publish(event("commerce.member.erased.v1", member_id, 1, 5, {}))
    await others.publish(points("confirmed", member_id, 2, "18", 6))
    await stage.decided(member_id, 4)
    async with asyncpg.create_pool(stage.dsn, server_settings={"search_path": "notifier"}) as pool:
        assert await personal_data(pool, *person.values(), "signed by hand") == []
    reasons = await stage.rows(
        "SELECT DISTINCT reason FROM message WHERE member_id = $1 AND occasion = 'order:/18'", member_id
    )
    assert reasons == [("erased",)]


async def test_a_broken_profile_is_a_dead_letter_without_its_body(stage: Stage, others: Others, kafka: str) -> None:
    member_id = f"broken-{stage.port}"
    await others.publish(registered(member_id, country="China"), registered(member_id, 1))
    await others.publish(points("confirmed", member_id, 1, "17", 3))
    await stage.decided(member_id, 2)
    letters = [letter for letter in await dead_letters(kafka) if NAME in str(letter) or "notifier" in str(letter)]
    assert any(letter["data"]["reason"] == "broken_field" for letter in letters)
    assert not any(word in str(letter) for letter in letters for word in (NAME, PHONE, MAIL))


async def dead_letters(kafka: str) -> list[dict[str, Any]]:
    consumer = AIOKafkaConsumer(
        "loyalty.dead_letters.v1", bootstrap_servers=kafka, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        records = await consumer.getmany(timeout_ms=2_000)
        return [orjson.loads(record.value) for of in records.values() for record in of]
    finally:
        await consumer.stop()


async def test_S5_killed_twice_under_load_nothing_is_lost_or_decided_twice(
    stage: Stage, others: Others, kafka: str
) -> None:
    members = [f"load-{stage.port}-{number}" for number in range(40)]
    await others.publish(*[registered(member_id) for member_id in members])
    await stage.ready()
    for turn in range(1, 31):
        await others.publish(*[points("confirmed", member_id, turn, str(turn), turn / 10) for member_id in members])
        if turn in (8, 20):
            await stage.kill()
            await stage.start()
    for member_id in members:
        await stage.decided(member_id, 60)
    (count,) = (await stage.rows("SELECT count(*) FROM message WHERE member_id = ANY ($1)", members))[0]
    assert count == len(members) * 60
    report = await stage.report()
    assert report["broken"] == 0
    requests = [await requests_of(kafka, "sms", member_id) for member_id in members[:2]]
    assert [len({request["id"] for request in of}) for of in requests] == [30, 30]


async def test_verify_is_a_command_that_prints_one_line_of_json(stage: Stage) -> None:
    await stage.ready()
    done = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.notifier", "verify", "--json",
        env=stage._environment, cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await done.communicate()
    assert done.returncode == 0
    assert orjson.loads(output)["broken"] == 0
