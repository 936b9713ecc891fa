"""A ledger on a real PostgreSQL to which tests send events, at times of their choosing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx
import msgspec
import orjson
from fastapi import FastAPI

from deploy.local.tokens import AUDIENCE, ISSUER, Signer
from schemas import program
from schemas.events import Refused, parse_event
from services.kit import problem
from services.kit.auth import Guard
from services.kit.calendar import Micros, parse_rfc3339
from services.kit.executor import Executor
from services.kit.kafka import Record, Shard, partition_of, shard_of
from services.kit.migrate import ensure_months, migrate
from services.kit.postgres import Connection, Pool, session_settings
from services.ledger.api import routers
from services.ledger.api.publisher import Publisher
from services.ledger.audit.verify import examine_by, summarise
from services.ledger.codecs import register_codecs
from services.ledger.consumer import Decoder
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import digest_of
from services.ledger.domain.state.inputs import AnyInput, DueTimer, TierHistoryReceived
from services.ledger.events.inbound import input_of
from services.ledger.events.internal import INTERNAL
from services.ledger.executor import Ledger
from services.ledger.horizon import Limit, without_limit
from services.ledger.inputs import Booked, MemberInput
from services.ledger.publication import publish_document
from services.ledger.settings import LedgerSettings
from tests.conftest import as_role
from tests.model import events as shop

T = TypeVar("T")
_keys = count(1)
PROGRAM = Path(__file__).parents[2] / "deploy" / "program.yaml"
DOCUMENT = program.load(PROGRAM.read_text("utf-8")).document()
# Tests spend odd numbers of points; those of the minimum and the step say so.
DOCUMENT["redeem"]["cash_offset"] |= {"minimum": 1, "step": 1}


def ledger_settings(dsn: str, **changes: Any) -> LedgerSettings:
    """Settings of a ledger on a database; the brokers are those of nobody unless they are given."""
    fields: dict[str, Any] = {
        "database_url": as_role(dsn, "ledger"),
        "migration_database_url": dsn,
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
    }
    return LedgerSettings(**{**fields, **changes})


class LedgerUnderTest:
    """Books events by the one write path, in one transaction for each call and shard."""

    def __init__(self, dsn: str, pool: Pool, settings: LedgerSettings) -> None:
        self.dsn = dsn
        self.pool = pool
        self.settings = settings
        self.ledger = Ledger()
        self.now: Micros = parse_rfc3339("2026-03-01T00:00:00+08:00")
        """When events arrive, and what the API takes for the present."""
        self.limit: Limit = without_limit
        """How far the present may go (C2)."""

    def clock(self) -> Micros:
        """The present of this test."""
        return self.now

    async def receive(self, *events: dict[str, Any], at: str | None = None) -> list[Booked | Refused]:
        """Book events that arrive now, or at an instant that is from then on now."""
        if at is not None:
            self.now = parse_rfc3339(at)
        async with self.pool.acquire() as connection:
            await self.ledger.programs.read(connection)
        return await self.book((event["subject"], self._input(event)) for event in events)

    def _input(self, event: dict[str, Any]) -> AnyInput:
        input_ = input_of(parse_event(orjson.dumps(event)), "CNY", 2, self.ledger.programs.need)
        assert input_ is not None
        return input_

    async def tier(self, member_id: str, *history: tuple[str, str], version: int = 1) -> None:
        """Receive a member's whole tier history: (RFC 3339, tier)."""
        steps = tuple((parse_rfc3339(at), tier) for at, tier in history)
        input_ = TierHistoryReceived("/loyalty/tiering", f"{member_id}:{version}:0", steps[-1][0], (version, 0), steps)
        await self.book([(member_id, input_)])

    async def sweep(self, *member_ids: str) -> None:
        """Book what is due now for members whom nobody touches."""
        timer = DueTimer("/loyalty/ledger/timer", f"due:{self.now}", self.now)
        await self.book([(member_id, timer) for member_id in member_ids])

    async def book(self, inputs: Iterable[tuple[str, AnyInput]]) -> list[Booked | Refused]:
        """Book inputs of members; what became of each, in order."""
        by_shard: dict[Shard, list[tuple[int, MemberInput]]] = {}
        count = 0
        for count, (member_id, input_) in enumerate(inputs, 1):
            arrival = Arrival(digest_of(member_id, input_.source, input_.id), input_, self.now)
            shard = shard_of(member_id, self.settings.shards)
            by_shard.setdefault(shard, []).append((count - 1, MemberInput(member_id, arrival)))
        outcomes: list[Booked | Refused] = [None] * count
        async with self.pool.acquire() as connection:
            for shard, batch in by_shard.items():
                async with connection.transaction():
                    booked = await self.ledger.book(connection, shard, [each for _, each in batch])
                for (index, _), outcome in zip(batch, booked, strict=True):
                    outcomes[index] = outcome
        return outcomes

    async def internal_messages(self) -> list[Record]:
        """The messages between shards that wait in the outbox, as the records that the broker would make of them."""
        async with self.pool.acquire() as connection:
            rows = await connection.fetch(
                "SELECT id, key, value, headers FROM outbox WHERE topic = $1 ORDER BY id", INTERNAL
            )
        return [
            Record(INTERNAL, partition_of(row["key"], self.settings.shards), row["id"], self.now, row["key"],
                   row["value"], tuple(msgspec.msgpack.decode(row["headers"], type=list[tuple[str, bytes]])))
            for row in rows
        ]  # fmt: skip

    async def deliver(self, *messages: Record) -> list[Booked | Refused]:
        """Book messages between shards as the consumer would: these, or all that wait, until none does."""
        decode = Decoder(self.ledger, self.settings.shards)
        booked: list[Booked | Refused] = []
        while waiting := messages or await self.internal_messages():
            for record in waiting:
                input_ = decode(record)
                assert isinstance(input_, MemberInput), input_
                async with self.pool.acquire() as connection, connection.transaction():
                    booked += await self.ledger.book(connection, record.partition, [input_])
                    await connection.execute("DELETE FROM outbox WHERE id = $1", record.offset)
            if messages:
                break
        return booked

    async def delivering(self, request: Awaitable[T]) -> T:
        """The answer to a request, while the messages between shards are delivered."""
        asked = asyncio.ensure_future(request)
        while not asked.done():
            await self.deliver()
            await asyncio.sleep(0.01)
        return await asked

    async def tamper(self, statement: str, *arguments: Any) -> None:
        """Change something behind the ledger's back, as a superuser; it must change something."""
        connection = await asyncpg.connect(self.dsn, server_settings={"search_path": "ledger"})
        try:
            done = await connection.execute(statement, *arguments)
            assert not done.endswith(" 0"), f"{statement}: {done}"
        finally:
            await connection.close()

    def app(self, publisher: Publisher | None = None, *, reads: Pool | None = None) -> FastAPI:
        """The ledger's paths, on this test's clock, with one pool for all unless there is one for reads."""
        app = FastAPI()
        problem.install(app)
        guard = Guard(self.settings)
        executor = Executor(self.pool, self.ledger.book, optimistic=self.ledger.book_optimistically)
        brokers = publisher or Publisher(self.settings)
        for router in routers(
            self.pool,
            executor,
            brokers,
            guard,
            self.settings,
            reads=reads or self.pool,
            clock=self.clock,
            limit=self.limit,
        ):
            app.include_router(router)
        return app


@asynccontextmanager
async def ledger_on(dsn: str, *, publish: bool = True, **changes: Any) -> AsyncIterator[LedgerUnderTest]:
    """A migrated ledger with the default program and the months from February 2026 to April 2027."""
    settings = ledger_settings(dsn, **changes)
    await migrate(settings, "services.ledger")
    connection = await asyncpg.connect(as_role(dsn, "ledger"), server_settings={"search_path": "ledger"})
    try:
        for table in ("journal", "entry"):
            await ensure_months(
                connection, table, parse_rfc3339("2026-02-01T00:00:00Z"), parse_rfc3339("2027-04-01T00:00:00Z")
            )
        await register_codecs(connection)
        if publish:
            await publish_document(connection, DOCUMENT)
    finally:
        await connection.close()
    async with asyncpg.create_pool(
        as_role(dsn, "ledger"),
        min_size=0,
        max_size=4,
        init=register_codecs,
        server_settings=session_settings(settings, "test"),
    ) as pool:
        yield LedgerUnderTest(dsn, pool, settings)


@asynccontextmanager
async def client_of(app: FastAPI, token: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app in this process."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ledger", headers=headers) as client:
        yield client


async def completed_order(ledger: LedgerUnderTest, *members: str, amount: str = "900") -> None:
    """¥900 paid on 1 March, completed on the 5th, which it is now: 1,800 points and 100 for the first, for a year."""
    paid = [shop.paid("o1", shop.d(1), amount, member=member, id=f"{member}:paid") for member in members]
    await ledger.receive(*paid, at="2026-03-01T10:00:01+08:00")
    completed = [shop.completed("o1", shop.d(5), member=member, id=f"{member}:completed") for member in members]
    await ledger.receive(*completed, at="2026-03-05T10:00:01+08:00")


async def post(client: httpx.AsyncClient, path: str, body: Any = None, *, key: str = "") -> httpx.Response:
    """The answer to a command, under a key of its own unless one is given."""
    return await client.post(path, json=body, headers={"Idempotency-Key": key or f"key-{next(_keys)}"})


def reader_token(signer: Signer) -> str:
    """A token of the shop's backend that may read."""
    return signer.token(scopes=["ledger:read"])


async def held(client: httpx.AsyncClient, member: str, points: int, **fields: Any) -> dict[str, Any]:
    """A hold made over HTTP, as it was answered."""
    answer = await post(client, f"/v1/members/{member}/holds", {"points": points, "reference": "cart", **fields})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """The status and the kind of a problem document."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["type"].removeprefix("urn:loyalty:problem:")


async def points_of(client: httpx.AsyncClient, member: str) -> tuple[int, int, int, int]:
    """(available, held, debt, redeemed)."""
    body = (await client.get(f"/v1/members/{member}/balance")).json()
    return body["available"], body["held"], body["debt"], body["lifetime"]["redeemed"]


async def verified_while(
    ledger: LedgerUnderTest, behind: Shard, happens: Callable[[], Awaitable[object]]
) -> dict[str, Any]:
    """What `verify` finds while something happens right after it has read a shard."""
    reader = await ledger.pool.acquire()
    opened = 0

    @asynccontextmanager
    async def snapshot() -> AsyncIterator[Connection]:
        nonlocal opened
        opened += 1
        if opened == behind + 3:  # the first is of the whole, the second of shard 0
            await happens()
        async with reader.transaction(isolation="repeatable_read", readonly=True):
            yield reader

    try:
        return summarise(*await examine_by(snapshot, ledger.settings))
    finally:
        await ledger.pool.release(reader)
