"""The tiering service as it runs: real processes, broker and database, from a record to an answer over HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
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
from services.kit.kafka import shard_of
from services.kit.migrate import migrate
from services.kit.topics import ensure_topics
from services.tiering.audit.verify import examine
from services.tiering.settings import TieringSettings
from tests.conftest import REPOSITORY, MakeDatabase, as_role

SHARDS = 16
DAY = 86_400 * MICROS_PER_SECOND
START = now() - 30 * DAY
STRUCTURED = [("content-type", b"application/cloudevents+json")]
DEFAULT_PROGRAM = REPOSITORY / "deploy" / "program.yaml"
TIMEOUT_S = 45


def on(day: float) -> str:
    """A business time in the month that has passed."""
    return rfc3339(START + round(day * DAY))


def event(kind: str, member_id: str, number: int, time: str, data: dict[str, Any]) -> dict[str, Any]:
    source = "/loyalty/ledger" if kind.startswith("loyalty.") else "/shop"
    return {
        "specversion": "1.0",
        "id": f"{member_id}:{kind}:{number}",
        "source": source,
        "type": kind,
        "subject": member_id,
        "time": time,
        "data": data,
    }


def registered(member_id: str, day: float = 0) -> dict[str, Any]:
    return event("commerce.member.registered.v1", member_id, 0, on(day), {"locale": "zh-CN"})


def qualified(member_id: str, version: int, order_id: str, *entries: tuple[float, str, int]) -> dict[str, Any]:
    timeline = [
        {"at": on(day), "amount": amount, "orders": orders, "cause": "completed"} for day, amount, orders in entries
    ]
    data = {
        "member_version": version,
        "event_no": 0,
        "order_id": order_id,
        "shop": "",
        "paid_at": on(entries[0][0]),
        "timeline": timeline,
    }
    return event("loyalty.order.qualified.v1", member_id, version, on(entries[-1][0]), data)


class Shop:
    """Publishes events of the shop and facts of the ledger, as they do."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def publish(self, published: dict[str, Any], *, partition: int | None = None) -> None:
        topic = "loyalty.points.v1" if published["type"].startswith("loyalty.") else "commerce.profiles.v1"
        await self._producer.send(
            topic,
            orjson.dumps(published),
            key=published["subject"].encode(),
            headers=STRUCTURED,
            partition=partition,
        )

    async def flush(self) -> None:
        """Returns when the broker has everything."""
        await self._producer.flush()


@pytest.fixture(scope="module")
async def shop(kafka: str) -> AsyncIterator[Shop]:
    """A publisher on a broker that has the topics and the default program."""
    await ensure_topics(kafka)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True)
    await producer.start()
    document = programs.load(DEFAULT_PROGRAM.read_text("utf-8"))
    data = {
        "program": document.program,
        "version": document.version,
        "content_hash": "sha256:" + "0" * 64,
        "effective_from": document.effective_from.isoformat(),
        "published_at": on(0),
        "document": document.document(),
    }
    published = event("loyalty.program.published.v1", document.program, 1, on(0), data)
    await producer.send_and_wait(
        "loyalty.program.v1", orjson.dumps(published), key=document.version.encode(), headers=STRUCTURED
    )
    yield Shop(producer)
    await producer.stop()


class Process:
    """One `python -m services.tiering serve` with its own port."""

    def __init__(self, environment: dict[str, str], instance: str, log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {**environment, "INSTANCE": instance}
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.tiering", "serve", "--port", str(self.port),
                env=self._environment, cwd=REPOSITORY, stderr=log, stdout=log, start_new_session=True,
            )  # fmt: skip

    async def kill(self) -> None:
        """Ends the whole process group as `kill -9` does."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def stop(self) -> int:
        """Asks it to end; the exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.terminate()
        async with asyncio.timeout(15):
            return await self._process.wait()

    async def ready(self) -> None:
        async with httpx.AsyncClient() as client:

            async def is_ready() -> bool:
                try:
                    return (await client.get(f"{self.url}/status")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(is_ready, lambda: f"not ready: {self._log.read_text()[-2000:]}")


async def until(
    holds: Callable[[], Awaitable[bool]], otherwise: Callable[[], str] = lambda: "it never came true"
) -> None:
    """Waits for something to become true; fails with a reason after a while."""
    deadline = asyncio.get_running_loop().time() + TIMEOUT_S
    while not await holds():
        assert asyncio.get_running_loop().time() < deadline, otherwise()
        await asyncio.sleep(0.1)


class Stage:
    """A migrated database, and the processes that run on it."""

    def __init__(self, dsn: str, environment: dict[str, str], directory: Path) -> None:
        self.dsn = dsn
        self.directory = directory
        self._environment = environment
        self.processes: list[Process] = []

    async def run(self, instance: str = "test") -> Process:
        process = Process(self._environment, instance, self.directory / f"{instance}.log")
        self.processes.append(process)
        await process.start()
        return process

    async def rows(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.dsn, server_settings={"search_path": "tiering"})
        try:
            return [tuple(row) for row in await connection.fetch(statement, *arguments)]
        finally:
            await connection.close()

    async def report(self) -> dict[str, Any]:
        connection = await asyncpg.connect(self.dsn, server_settings={"search_path": "tiering"})
        try:
            document = programs.load(DEFAULT_PROGRAM.read_text("utf-8")).document()
            return await examine(connection, [document], SHARDS)
        finally:
            await connection.close()


@pytest.fixture
async def stage(
    make_database: MakeDatabase, kafka: str, signer: Signer, shop: Shop, tmp_path: Path
) -> AsyncIterator[Stage]:
    dsn = make_database()
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": as_role(dsn, "tiering"),
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        **ONE_BROKER,
        **signer.environment,
        "SESSION_TIMEOUT_SECONDS": "6",
    }
    settings = TieringSettings(
        database_url=as_role(dsn, "tiering"), migration_database_url=dsn, kafka_bootstrap_servers=kafka
    )
    await migrate(settings, "services.tiering")
    made = Stage(dsn, environment, tmp_path)
    yield made
    for process in made.processes:
        await process.stop()


@pytest.fixture
def numbers() -> Iterator[int]:
    return iter(range(1, 1_000_000))


async def facts_of(kafka: str, topic: str, members: set[str]) -> dict[str, list[dict[str, Any]]]:
    """The events of some members on a topic, in its order."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    try:
        partitions = [TopicPartition(topic, number) for number in range(SHARDS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        while any([await consumer.position(part) < ends[part] for part in partitions]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    if record.key is not None and record.key.decode() in members:
                        found[record.key.decode()].append(orjson.loads(record.value))
    finally:
        await consumer.stop()
    return found


async def test_orders_become_a_tier_that_the_app_reads_and_others_hear_of(
    stage: Stage, shop: Shop, kafka: str, signer: Signer
) -> None:
    member_id = f"spine-{stage.directory.name}"
    process = await stage.run()
    await shop.publish(registered(member_id))
    await shop.publish(qualified(member_id, 1, "17", (1, "398.99", 1)))
    await shop.publish(qualified(member_id, 2, "18", (2, "289.01", 1)))
    await process.ready()
    headers = {"Authorization": f"Bearer {signer.member_token(member_id)}"}
    async with httpx.AsyncClient(base_url=process.url, headers=headers) as app:
        path = f"/v1/members/{member_id}/tier"

        async def is_vip() -> bool:
            answer = await app.get(path)
            return answer.status_code == 200 and answer.json()["tier"] == "vip"

        await until(is_vip)
        answer = await app.get(path)
        body = answer.json()
        assert body["since"] == on(2)
        assert body["enrolled_at"] == on(0)
        assert body["growth_value"] == "688.00"
        assert body["names"]["zh-CN"] == "VIP会员"
        assert body["history"] == [
            {"tier": "regular", "effective_at": on(1)},
            {"tier": "vip", "effective_at": on(2)},
        ]
        assert body["next"]["tier"] == "supreme"
        assert body["next"]["gap"] == {"growth": "200.00", "orders": None}
        assert answer.headers["cache-control"] == "private, no-cache"
        again = await app.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        after = (await app.get(path, params={"with": "200"})).json()
        assert (after["tier"], after["next"], after["since"]) == ("supreme", None, None)
        wrong = await app.get(path, params={"with": "2.005"})
        assert (wrong.status_code, wrong.json()["field"]) == (422, "with")
        steps = (await app.get("/v1/tiers")).json()["tiers"]
        assert [step["tier"] for step in steps] == ["regular", "senior", "vip", "supreme"]
        assert (await app.get("/v1/members/somebody-else/tier")).status_code == 404

    async def are_sent() -> bool:
        return not await stage.rows("SELECT 1 FROM outbox LIMIT 1")

    await until(are_sent)
    facts = (await facts_of(kafka, "loyalty.tiers.v1", {member_id}))[member_id]
    for fact in facts:
        parse_event(orjson.dumps(fact))
    assert sorted((fact["type"], fact["data"]["tier"]) for fact in facts if "enrolled" not in fact["type"]) == [
        ("loyalty.tier.upgraded.v1", "regular"),
        ("loyalty.tier.upgraded.v1", "vip"),
    ]
    assert [fact["data"]["member_version"] for fact in facts] == [1, 2, 3]
    assert await process.stop() == 0


async def test_T10_joining_by_call_is_idempotent_and_takes_the_right_to_it(
    stage: Stage, shop: Shop, signer: Signer
) -> None:
    member_id = f"joiner-{stage.directory.name}"
    process = await stage.run()
    await process.ready()
    path = f"/v1/members/{member_id}/enrolment"
    operator = {"Authorization": f"Bearer {signer.token()}"}
    async with httpx.AsyncClient(base_url=process.url) as client:
        assert (await client.post(path)).status_code == 401
        reader = {"Authorization": f"Bearer {signer.token(scopes=['tiering:read'])}"}
        refused = await client.post(path, headers=reader)
        assert refused.status_code == 403
        assert refused.headers["content-type"] == "application/problem+json"
        other = {"Authorization": f"Bearer {signer.member_token('another')}"}
        assert (await client.post(path, headers=other)).status_code == 404
        assert (await client.get(f"/v1/members/{member_id}/tier", headers=operator)).status_code == 404
        own = {"Authorization": f"Bearer {signer.member_token(member_id)}"}
        answers = await asyncio.gather(*(client.post(path, headers=own) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 201]
        assert len({answer.json()["enrolled_at"] for answer in answers}) == 1
        assert (await client.post(path, headers=operator)).status_code == 200
        assert (await client.get(f"/v1/members/{member_id}/tier", headers=operator)).json()["tier"] == "none"
        assert (await client.get("/v1/members/a%20b/tier", headers=operator)).status_code in (404, 422)
    journal = await stage.rows("SELECT facts, actor FROM decision WHERE member_id = $1", member_id)
    assert journal == [(["enrolled"], f"member:{member_id}")]


async def test_a_broken_timeline_is_a_dead_letter_and_the_rest_is_booked(stage: Stage, shop: Shop, kafka: str) -> None:
    member_id = f"broken-{stage.directory.name}"
    broken = qualified(member_id, 1, "17", (1, "1.005", 1))
    await shop.publish(broken)
    await shop.publish(qualified(member_id, 2, "18", (2, "888", 1)))
    # A publisher that hashes keys otherwise: the record lies on another shard's partition.
    await shop.publish(registered(member_id), partition=(shard_of(member_id, SHARDS) + 1) % SHARDS)
    await shop.flush()
    await stage.run()

    async def is_booked() -> bool:
        found = await stage.rows("SELECT tier, version FROM member WHERE member_id = $1", member_id)
        return found == [("supreme", 2)]

    await until(is_booked)

    async def is_published() -> bool:
        letters = await facts_of_letters(kafka)
        return any(
            letter["data"]["reason"] == "broken_field"
            and letter["data"]["field"] == "data.timeline[0].amount"
            and letter["data"]["origin"]["partition"] == shard_of(member_id, SHARDS)
            for letter in letters
        )

    await until(is_published)


async def facts_of_letters(kafka: str) -> list[dict[str, Any]]:
    consumer = AIOKafkaConsumer(
        "loyalty.dead_letters.v1",
        bootstrap_servers=kafka,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        records = await consumer.getmany(timeout_ms=1_000)
        letters = [orjson.loads(record.value) for of in records.values() for record in of]
        return [letter for letter in letters if letter["data"]["service"] == "tiering"]
    finally:
        await consumer.stop()


async def test_killed_twice_beside_a_second_instance_nothing_is_lost_or_published_out_of_order(
    stage: Stage, shop: Shop, kafka: str
) -> None:
    members = [f"load-{stage.directory.name}-{number}" for number in range(200)]
    first = await stage.run("one")
    await stage.run("two")
    await first.ready()
    for turn in range(1, 16):
        for member_id in members:
            await shop.publish(qualified(member_id, turn, str(turn), (turn, "70", 1)))
        if turn in (5, 10):
            await shop.flush()
            await first.kill()
            await first.start()
    await shop.flush()

    async def all_is_booked() -> bool:
        found = await stage.rows("SELECT count(*) FROM member WHERE orders = 15 AND member_id = ANY ($1)", members)
        return found == [(len(members),)]

    await until(all_is_booked)

    async def all_is_sent() -> bool:
        return not await stage.rows("SELECT 1 FROM outbox LIMIT 1")

    await until(all_is_sent)
    report = await stage.report()
    assert report["broken"] == 0, report["examples"]
    facts = await facts_of(kafka, "loyalty.tiers.v1", set(members))
    for member_id in members:
        kept: list[dict[str, Any]] = []
        for fact in facts[member_id]:
            if not kept or fact["data"]["member_version"] > kept[-1]["data"]["member_version"]:
                kept.append(fact)
        # ¥70 an order: the sixth makes 420, the tenth 700, the thirteenth 910.
        assert [(fact["data"]["tier"], fact["data"]["effective_at"]) for fact in kept] == [
            ("regular", on(1)),
            ("senior", on(6)),
            ("vip", on(10)),
            ("supreme", on(13)),
        ]


async def test_mend_a01_verify_compares_with_what_the_ledger_told(stage: Stage, shop: Shop, tmp_path: Path) -> None:
    facts = [qualified("told.m", 1, "17", (1, "398.99", 1)), qualified("told.m", 2, "18", (2, "10", 1))]
    process = await stage.run()
    await process.ready()
    for fact in facts:
        await shop.publish(fact)
    await shop.flush()

    async def is_booked() -> bool:
        return await stage.rows("SELECT 1 FROM member WHERE member_id = 'told.m' AND orders = 2") != []

    await until(is_booked)
    told = tmp_path / "timelines"

    async def verified(*lines: dict[str, Any]) -> tuple[int | None, dict[str, Any]]:
        told.write_bytes(b"".join(orjson.dumps({"member_id": "told.m", **line}) + b"\n" for line in lines))
        done = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.tiering", "verify", "--json", "--told", str(told),
            env=stage._environment, cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, _ = await done.communicate()
        return done.returncode, orjson.loads(output)

    code, report = await verified(*(fact["data"] for fact in facts))
    assert (code, report["broken"], report["told"], report["examples"]) == (0, 0, 2, [])
    code, report = await verified(facts[0]["data"], facts[1]["data"] | {"timeline": []})
    assert (code, report["broken"]) == (1, 1)
    assert report["examples"][0].startswith("told.m: order /18 was told as nothing, and is held as +1000 and +1 at ")
