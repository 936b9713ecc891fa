"""A restore from a base backup that was taken under load: nothing is made, nothing that was told is lost (C3)."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
import pytest
from aiokafka import AIOKafkaProducer

from deploy.local import kafka as kafka_server
from deploy.local import postgres as postgres_server
from deploy.local.tokens import Signer
from services.kit import clock
from services.kit.calendar import later, rfc3339
from services.kit.epoch import restored as restored_tiering
from services.kit.serve import running
from services.kit.settings import Settings
from services.kit.topics import ensure_topics
from services.ledger.__main__ import SERVICE as LEDGER
from services.ledger.audit.verify import examine, summarise
from services.ledger.codecs import register_codecs
from services.ledger.publication import publish_document
from services.ledger.restored import restored
from services.ledger.settings import LedgerSettings
from services.notifier.__main__ import SERVICE as NOTIFIER
from services.notifier.audit.verify import verify as verify_notifier
from services.notifier.settings import NotifierSettings
from services.tiering.__main__ import SERVICE as TIERING
from services.tiering.audit.verify import verify as verify_tiering
from services.tiering.settings import TieringSettings
from tests.conftest import as_role, migrate
from tests.integration.kit_support import eventually
from tests.integration.ledger_support import DOCUMENT
from tests.model import events as shop

MEMBERS = [f"restored-{number}" for number in range(24)]
POINTS_OF_ORDER = 1800
"""What ¥900 earn, without the first-purchase bonus."""


@pytest.fixture(scope="module")
def brokers(server_dir: Path) -> Iterator[str]:
    """Brokers of this module alone: what others left on the topics would be booked here, too."""
    place = server_dir / "restore-kafka"
    broker = kafka_server.start(place, log=server_dir / "restore-kafka.log", heap_mb=384, die_with_parent=True)
    yield broker.bootstrap
    kafka_server.stop(broker)


class Shop:
    """A shop whose members order, and whose app redeems, holds and transfers, on servers that are restored once."""

    def __init__(self, server: postgres_server.Postgres, brokers: str, signer: Signer) -> None:
        self.server = server
        self.brokers = brokers
        self.signer = signer
        self.producer: AIOKafkaProducer
        self.client: httpx.AsyncClient
        self.told: dict[str, int] = {}
        """The points of each redemption that a client was told of, by its id."""

    def settings(self, of: type[Settings]) -> Any:
        dsn = self.server.dsn("shop")
        return of(
            database_url=as_role(dsn, of.service),
            kafka_bootstrap_servers=self.brokers,
            jwks_file=self.signer.jwks_file,
            session_timeout_seconds=6.0,
            development=True,
        )

    @property
    def ledger(self) -> LedgerSettings:
        settings: LedgerSettings = self.settings(LedgerSettings)
        return settings

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """All three services run."""
        async with AsyncExitStack() as stack:
            for service, settings in (
                (LEDGER, LedgerSettings),
                (TIERING, TieringSettings),
                (NOTIFIER, NotifierSettings),
            ):
                worker = await stack.enter_async_context(running(service, self.settings(settings), port=0))
                if service is LEDGER:
                    api = next(part for part in worker.parts if part.name == "api")
            transport = httpx.ASGITransport(app=api.app)
            token = self.signer.token(scopes=["ledger:read", "ledger:spend"])
            headers = {"Authorization": f"Bearer {token}"}
            self.client = httpx.AsyncClient(transport=transport, base_url="http://ledger", headers=headers)
            self.producer = AIOKafkaProducer(bootstrap_servers=self.brokers, enable_idempotence=True)
            await self.producer.start()
            stack.push_async_callback(self.client.aclose)
            stack.push_async_callback(self.producer.stop)
            yield

    async def order(self, member: str, order: str) -> None:
        """An order of ¥900, paid and completed now."""
        at = rfc3339(later(clock.now(), -1_000_000))
        for event in (
            shop.paid(order, at, "900", member=member, id=f"{member}:{order}:paid"),
            shop.completed(order, at, member=member, id=f"{member}:{order}:completed"),
        ):
            await self.producer.send_and_wait(
                "commerce.orders.v1",
                orjson.dumps(event),
                key=member.encode(),
                headers=[("content-type", b"application/cloudevents+json")],
            )

    async def post(self, path: str, body: dict[str, Any], key: str) -> httpx.Response:
        return await self.client.post(path, json=body, headers={"Idempotency-Key": key})

    async def redeem(self, member: str, points: int, reference: str) -> str:
        answer = await self.post(
            f"/v1/members/{member}/redemptions", {"points": points, "reference": reference}, reference
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["redemption_id"])

    async def transfer(self, member: str, to: str, points: int, reference: str) -> str:
        body = {"from": member, "to": to, "points": points, "reference": reference}
        answer = await self.post("/v1/transfers", body, f"{member}:{reference}")
        assert answer.status_code in (201, 202), answer.text
        return str(answer.json()["transfer_id"])

    async def balance(self, member: str) -> tuple[int, int, int]:
        """(available, held, redeemed); zeros of an unknown member."""
        body = (await self.client.get(f"/v1/members/{member}/balance")).json()
        return (body["available"], body["held"], body["lifetime"]["redeemed"]) if "available" in body else (0, 0, 0)

    async def balances(self) -> dict[str, tuple[int, int, int]]:
        return {member: await self.balance(member) for member in MEMBERS}

    async def has(self, member: str, available: int) -> bool:
        return (await self.balance(member))[0] == available

    async def rest(self) -> None:
        """Wait until nothing moves any more: no outbox row, and the same figures for a while."""
        connection = await asyncpg.connect(self.server.dsn("shop"))
        try:
            quiet_since = time.monotonic()
            last: Any = None
            ends = time.monotonic() + 120
            while time.monotonic() - quiet_since < 3:
                assert time.monotonic() < ends, last
                now = [
                    await connection.fetchval(f"SELECT sum(next_offset) FROM {name}.consumer_offset")
                    for name in ("ledger", "tiering", "notifier")
                ] + [await connection.fetchval("SELECT count(*) FROM ledger.outbox")]
                if now != last or now[-1]:
                    last, quiet_since = now, time.monotonic()
                await asyncio.sleep(0.2)
        finally:
            await connection.close()

    def back_up(self, into: Path) -> None:
        """Take a base backup while the server works, as the user whose files they are."""
        owner = self.server.data.stat()
        into.mkdir(mode=0o700)
        os.chown(into, owner.st_uid, owner.st_gid)
        where = [f"--host={self.server.socket_dir}", f"--port={self.server.port}", "--username=postgres"]
        command = [
            postgres_server.binary("pg_basebackup"),
            *where,
            f"--pgdata={into}",
            "--checkpoint=fast",
            "--no-sync",
        ]
        as_owner: dict[str, Any] = {}
        if os.geteuid() != owner.st_uid:
            as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=into, **as_owner)

    def restore(self, backup: Path, log: Path) -> None:
        """Stop the server, throw its data away, and start one on the backup."""
        data = self.server.data
        postgres_server.stop(self.server)
        shutil.rmtree(data)
        shutil.move(backup, data)
        self.server = postgres_server.start(data, log=log, durable=False, die_with_parent=True)


@pytest.fixture
async def stage(server_dir: Path, brokers: str, signer: Signer) -> AsyncIterator[Shop]:
    data = server_dir / "restore-postgres"
    server = postgres_server.start(data, log=server_dir / "restore.log", durable=False, die_with_parent=True)
    server.psql("CREATE DATABASE shop")
    for service in ("ledger", "tiering", "notifier"):
        migrate(service, server.dsn("shop"))
    await ensure_topics(brokers)
    made = Shop(server, brokers, signer)
    connection = await asyncpg.connect(as_role(server.dsn("shop"), "ledger"), server_settings={"search_path": "ledger"})
    try:
        await register_codecs(connection)
        await publish_document(connection, DOCUMENT)
    finally:
        await connection.close()
    yield made
    postgres_server.stop(made.server)


async def is_whole(stage: Shop) -> None:
    """Every service's `verify` finds nothing."""
    summary = summarise(*await examine(stage.ledger))
    assert (summary["ok"], summary["examples"]) == (True, [])
    assert await verify_tiering(stage.settings(TieringSettings), []) == 0
    assert await verify_notifier(stage.settings(NotifierSettings), []) == 0


async def test_mend_b01_a_restored_backup_makes_no_points_and_forgets_no_promise(
    stage: Shop, server_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b, *others = MEMBERS
    backup = server_dir / "restore-backup"
    async with stage.open():
        await asyncio.gather(*(stage.order(member, "o1") for member in MEMBERS))
        for member in MEMBERS:
            await eventually(lambda member=member: stage.has(member, 1900), seconds=60, what="the first order")  # type: ignore[misc]
        redeemed_before = await stage.redeem(a, 100, "before")

        async def load() -> None:
            for number in range(2, 8):
                await asyncio.gather(*(stage.order(member, f"o{number}") for member in others))

        async def back_up() -> None:
            await asyncio.to_thread(stage.back_up, backup)

        await asyncio.gather(load(), back_up())
        # What the backup does not have: a transfer, a redemption, a hold, and more orders.
        transfer = await stage.transfer(a, b, 700, "after")
        redemption = await stage.redeem(b, 500, "after")
        hold = await stage.post(f"/v1/members/{a}/holds", {"points": 300, "reference": "h", "ttl_seconds": 3600}, "h")
        assert hold.status_code == 201
        await asyncio.gather(*(stage.order(member, "o9") for member in MEMBERS))
        await stage.rest()
        told = await stage.balances()
    assert told[a][1:] == (300, 100)

    stage.restore(backup, server_dir / "restored.log")
    assert await restored(stage.ledger, []) == 0
    listed = capsys.readouterr().out
    assert "Epoch 1 has begun." in listed
    assert f"transfer {transfer} of {a} to {b}: 700 points" in listed
    assert f"redemption {redemption} of {b}: 500 points" in listed
    assert f"hold {hold.json()['hold_id']} of {a}: 300 points" in listed
    assert redeemed_before not in listed, "the backup has it"
    for settings in (TieringSettings, NotifierSettings):
        assert await restored_tiering(stage.settings(settings), []) == 0

    async with stage.open():
        await stage.rest()
        lost = await stage.balances()
        # All orders have come again. The transfer's message has too, and its sender has given nothing.
        assert lost[a] == (told[a][0] + 700 + 300, 0, 100)
        assert lost[b] == (told[b][0] - 700 + 500, 0, 0)
        assert {member: lost[member] for member in others} == {member: told[member] for member in others}
        assert await restored(stage.ledger, []) == 1, "the service runs: it begins no epoch"
        assert await restored(stage.ledger, ["--book"]) == 0
        await stage.rest()
        assert await stage.balances() == told
        again = await stage.post(f"/v1/members/{b}/redemptions", {"points": 500, "reference": "after"}, "again")
        assert (again.status_code, again.json()["type"]) == (409, "urn:loyalty:problem:reference-used")
        capsys.readouterr()
        assert await restored(stage.ledger, ["--book"]) == 0
        assert "All is booked again." in capsys.readouterr().out
    await is_whole(stage)
