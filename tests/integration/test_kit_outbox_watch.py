"""Lost relays, shards that nobody relays, and rows of the outbox that stay."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.local import postgres as postgres_server
from services.kit import metrics, outbox_watch, shard_locks
from services.kit.kafka import Shard
from services.kit.outbox import OutboxRow, append
from services.kit.outbox_watch import OutboxWatch
from services.kit.part import State
from services.kit.postgres import Pool, connect, new_pool
from services.kit.relay import Relay
from tests.conftest import as_role
from tests.greeter.routes import SHARDS
from tests.greeter.service import GreeterSettings
from tests.integration.kit_proxy import proxied
from tests.integration.kit_support import Database, eventually, eyes, members_of, read, settings_for

ALL = ",".join(map(str, range(SHARDS)))


async def _write(settings: GreeterSettings, shard: int, first: int, number: int) -> None:
    connection = await connect(settings, part="writer")
    key = members_of(shard, 1)[0].encode()
    await append(
        connection,
        [OutboxRow(Shard(shard), settings.greetings, key, str(n).encode()) for n in range(first, first + number)],
    )
    await connection.close()


async def _holds(relay: Relay, shards: str) -> bool:
    return relay.state().figures["shards"] == shards


async def _tells(relay: Relay, word: str) -> bool:
    state = relay.state()
    return not state.ok and word in state.detail


async def test_mend_c04_a_lost_relays_shards_are_taken_over_when_its_lease_is_over(
    database: str, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first relay's host is lost: its connection stays open and says nothing more."""
    monkeypatch.setattr(shard_locks, "SILENT_SECONDS", 1.0)
    monkeypatch.setattr(shard_locks, "LEASE_SECONDS", 6.0)
    settings = await settings_for(database, kafka)
    async with proxied(database) as proxy, eyes(database) as look:
        through = settings.model_copy(update={"database_url": SecretStr(as_role(proxy.dsn, "greeter"))})
        lost, heir = Relay(through), Relay(settings)
        await lost.start()
        await eventually(lambda: _holds(lost, ALL))
        await _write(settings, 2, 0, 50)
        await eventually(lambda: look.has("outbox", 0))
        proxy.flows.clear()
        await _write(settings, 2, 50, 50)
        await heir.start()
        await eventually(lambda: _tells(heir, "has asked nothing"))
        assert heir.state().figures["shards"] == ""
        assert heir.state().detail.startswith("shards 0, 1, 2, 3 are held by the session")
        await eventually(lambda: _holds(heir, ALL))
        await eventually(lambda: look.has("outbox", 0))
        assert heir.state().ok
        proxy.flows.set()
        await eventually(lambda: _holds(lost, ""))  # it lives after all, and finds its session ended
        await _write(settings, 2, 100, 50)
        await eventually(lambda: look.has("outbox", 0))
        assert heir.state().figures["shards"] == ALL
        await lost.stop()
        await heir.stop()
    assert [int(r.value) for r in await read(kafka, settings.greetings)] == list(range(150))


async def test_mend_c04_a_relay_that_waits_beside_a_living_one_is_well(
    database: str, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_locks, "SILENT_SECONDS", 1.0)
    monkeypatch.setattr(shard_locks, "LEASE_SECONDS", 2.0)
    settings = await settings_for(database, kafka)
    first, second = Relay(settings), Relay(settings)
    await first.start()
    await eventually(lambda: _holds(first, ALL))
    await second.start()
    await asyncio.sleep(5)
    assert first.state() == State(True, figures={"shards": ALL})
    assert second.state() == State(True, figures={"shards": ""})
    await second.stop()
    await first.stop()


@pytest.fixture
async def pooled(database: str, kafka: str) -> AsyncIterator[tuple[GreeterSettings, Pool, Database]]:
    settings = await settings_for(database, kafka, stalled_after_seconds=0.5)
    pool = await new_pool(settings)
    async with eyes(database) as look:
        yield settings, pool, look
    await pool.close()


async def test_mend_c04_a_shard_that_nobody_relays_is_not_well(
    pooled: tuple[GreeterSettings, Pool, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, pool, _ = pooled
    watch = OutboxWatch(settings, pool)
    assert (await watch()).ok  # it may be that the relays are just about to begin
    monkeypatch.setattr(outbox_watch, "UNHELD_SECONDS", 0.1)
    await asyncio.sleep(0.2)
    state = await watch()
    assert not state.ok
    assert state.detail == "nobody relays the shards 0, 1, 2, 3"
    assert "part relay" in state.remedy
    assert _gauge("outbox_unheld_shards") == SHARDS
    relay = Relay(settings)
    await relay.start()
    await eventually(lambda: _holds(relay, ALL))
    assert await watch() == State(True, figures={"oldest_seconds": 0.0, "unheld_shards": 0})
    assert _gauge("outbox_unheld_shards") == 0
    await relay.stop()


async def test_mend_c04_the_age_of_the_outbox_is_known_also_after_a_restart(
    pooled: tuple[GreeterSettings, Pool, Database],
) -> None:
    settings, pool, look = pooled
    watch = OutboxWatch(settings, pool)
    await watch()
    assert _gauge("outbox_oldest_seconds") == 0
    await _write(settings, 1, 0, 3)
    await watch()  # here the rows are seen for the first time
    await asyncio.sleep(1.2)
    await _write(settings, 0, 3, 3)
    state = await watch()
    assert state.detail.startswith("the oldest row of the outbox, ")
    assert _gauge("outbox_oldest_seconds") >= 1.2
    await OutboxWatch(settings, pool)()  # another process
    assert _gauge("outbox_oldest_seconds") >= 1.2
    await look.connection.execute("DELETE FROM greeter.outbox WHERE shard = 1")
    assert (await watch()).ok
    assert 0 <= _gauge("outbox_oldest_seconds") < 1.2
    await look.connection.execute("DELETE FROM greeter.outbox")
    await watch()
    assert _gauge("outbox_oldest_seconds") == 0
    assert await look.count("outbox_mark") == 1  # only the last one is needed


def _gauge(name: str) -> float:
    value = metrics.REGISTRY.get_sample_value(name)
    assert value is not None
    return value


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that PostgreSQL's user may pass through; pytest's own are closed."""
    path = Path(tempfile.mkdtemp(prefix="points-ledger-tcp-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


async def test_mend_c04_sessions_over_tcp_notice_that_the_other_end_is_gone(directory: Path) -> None:
    server = await asyncio.to_thread(
        postgres_server.start, directory / "data", log=directory / "log", password="secret", durable=False
    )
    try:
        address = SecretStr(server.tcp_dsn("secret"))
        settings = GreeterSettings(database_url=address, kafka_bootstrap_servers="127.0.0.1:1")
        session = await connect(settings, part="relay")
        names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
        told = [await session.fetchval("SELECT setting FROM pg_settings WHERE name = $1", name) for name in names]
        assert told == ["15", "5", "3", "30000"]
        await session.close()
    finally:
        await asyncio.to_thread(postgres_server.stop, server)
