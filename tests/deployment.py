"""The whole system as real processes of a test's own: durable PostgreSQL, Kafka, and the three services by their CLI.

Everything lives in one directory and ends with the test that started it, also when the test is killed. Tests share a
deployment and keep apart by their members (`tests.shops`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import asyncpg
import httpx
import orjson
import psutil
from rich.console import Console

from deploy.local import kafka as kafka_server
from deploy.local import postgres as postgres_server
from deploy.local.processes import Process, free_port
from deploy.local.tokens import Signer
from deploy.shop.events import Event
from deploy.shop.outcome import outcome
from deploy.shop.publisher import publish
from deploy.shop.settle import Watch, settle
from deploy.shop.topic import records
from services.kit.calendar import parse_rfc3339
from services.kit.money import minor_units
from services.kit.topics import ensure_topics
from services.ledger.audit.verify import verify as verify_ledger
from services.ledger.settings import LedgerSettings
from services.notifier.audit.verify import verify as verify_notifier
from services.notifier.settings import NotifierSettings
from services.tiering.audit.verify import verify as verify_tiering
from services.tiering.settings import TieringSettings
from tests.conftest import REPOSITORY, SERVICES, as_role, migrate
from tests.sharing import SLOWER
from tests.shops import Ended, Shop, expected

PROGRAM = REPOSITORY / "deploy" / "program.yaml"
DATABASE = "loyalty"
QUIET = Console(quiet=True)


class Service:
    """One service as its supervisor sees it: a command that runs, ends, or is ended."""

    def __init__(self, name: str, log: Path, environment: Mapping[str, str], operator: str) -> None:
        """`operator` is a token with the scope ops:read."""
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self.operator = operator
        self.environment = dict(environment)
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self._popen is not None and self._popen.poll() is None

    def start(self, *arguments: str, **variables: Any) -> None:
        """Start it, unless it runs; `variables` are settings, as `max_batch=10`."""
        if self.runs:
            return
        environment = self.environment | {name.upper(): str(value) for name, value in variables.items()}
        command = [sys.executable, "-m", f"services.{self.name}", "serve", "--port", str(self.port), *arguments]
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(command, env=environment, cwd=REPOSITORY, stdout=output, stderr=output)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of its own commands to the end."""
        return subprocess.run(
            [sys.executable, "-m", f"services.{self.name}", *arguments],
            env=self.environment,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )

    def workers(self) -> list[int]:
        """Pids of its worker processes."""
        if self._popen is None:
            return []
        with suppress(psutil.NoSuchProcess):
            return [child.pid for child in psutil.Process(self._popen.pid).children()]
        return []

    def signal_parent(self, number: signal.Signals) -> None:
        """Send a signal to the process that was started."""
        assert self._popen is not None
        self._popen.send_signal(number)

    async def kill(self, who: Literal["worker", "parent"]) -> None:
        """`kill -9` of one worker, which takes the service down, or of the parent, whose workers may live a moment
        longer; returns when its supervisor may start it anew."""
        if who == "worker":
            await eventually(self.workers, what=f"a worker of {self.name}")
            os.kill(self.workers()[0], signal.SIGKILL)
        else:
            self.signal_parent(signal.SIGKILL)
        assert await self.ended() != 0

    async def ended(self, seconds: float = 15.0) -> int:
        """Wait until it has ended by itself; its exit code."""
        await eventually(lambda: not self.runs, seconds=seconds, what=f"the end of {self.name}; log: {self.log}")
        assert self._popen is not None
        return int(self._popen.returncode)

    async def stop(self) -> int:
        """SIGTERM, as a supervisor stops it; the exit code."""
        if not self.runs:
            return 0
        self.signal_parent(signal.SIGTERM)
        return await self.ended()

    def destroy(self) -> None:
        """End it at once, with all it has started."""
        if self._popen is None:
            return
        for pid in (*self.workers(), *([self._popen.pid] if self.runs else [])):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._popen.wait()

    async def status(self) -> tuple[int, dict[str, Any]]:
        """What /status answers now; status 0 if nobody answers."""
        with suppress(httpx.TransportError):
            async with httpx.AsyncClient(timeout=5) as client:  # a connection of its own: any worker may get it
                answer = await client.get(f"{self.url}/status", headers={"Authorization": f"Bearer {self.operator}"})
                return answer.status_code, answer.json()
        return 0, {}

    async def ready(self, seconds: float = 60.0) -> None:
        """Wait until every worker says that it is well."""

        async def asked() -> bool:
            assert self.runs, f"{self.name} ended: {self.log.read_text()[-3000:]}"
            return (await self.status())[0] == 200

        await eventually(asked, seconds=seconds, what=f"{self.name} is well; log: {self.log}")

    async def not_well(self, *words: str, seconds: float = 30.0) -> str:
        """Wait until it runs, says that it is not well, and names one of `words` as the reason; what it said."""

        async def asked() -> str:
            assert self.runs, f"{self.name} ended: {self.log.read_text()[-3000:]}"
            status, document = await self.status()
            if status != 503:
                return ""
            states = [state for worker in document["workers"].values() for state in worker.values()]
            reasons = "; ".join(f"{state['detail']} {state['remedy']}" for state in states if not state["ok"])
            return reasons if any(word in reasons for word in words) else ""

        return str(await eventually(asked, seconds=seconds, what=f"{self.name} is not well for one of {words}"))

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's series over all workers."""
        async with httpx.AsyncClient(timeout=5) as client:
            page = (await client.get(f"{self.url}/metrics")).text
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = (line for line in page.splitlines() if line.startswith(f"{name}{{") and all(w in line for w in wanted))
        return sum(float(line.rpartition(" ")[2]) for line in lines)


@dataclass
class Deployment:
    """Servers and services of one directory."""

    directory: Path
    settings: dict[str, str] = field(default_factory=dict)
    """Settings of all services, by environment variable."""
    program: Path = PROGRAM
    postgres: postgres_server.Postgres = field(init=False)
    broker: kafka_server.Kafka = field(init=False)
    services: dict[str, Service] = field(init=False)
    signer: Signer = field(init=False)

    def open(self) -> None:
        """Start the servers, migrate, make the topics and publish the program; no service runs yet."""
        self.start_postgres()
        self.start_broker()
        self.postgres.psql(f"CREATE DATABASE {DATABASE}")
        for service in SERVICES:
            migrate(service, self.dsn)
        asyncio.run(ensure_topics(self.broker.bootstrap))
        self.signer = Signer.kept_in(self.directory / "keys")
        self.services = {name: self.service(name) for name in SERVICES}
        done = self.services["ledger"].command("publish", str(self.program))
        assert done.returncode == 0, done.stderr

    def close(self) -> None:
        """End everything that is still there."""
        for service in getattr(self, "services", {}).values():
            service.destroy()
        with suppress(AttributeError):
            kafka_server.stop(self.broker)
        with suppress(AttributeError):
            postgres_server.stop(self.postgres)

    @property
    def dsn(self) -> str:
        """The services' database, as superuser."""
        return self.postgres.dsn(DATABASE)

    def service(self, name: str, dsn: str | None = None, **variables: str) -> Service:
        """A service on these servers, or by another way to the database; the caller starts and ends it."""
        environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": as_role(dsn or self.dsn, name),
            "KAFKA_BOOTSTRAP_SERVERS": self.broker.bootstrap,
            **self.signer.environment,
            "SESSION_TIMEOUT_SECONDS": "6",
            **kafka_server.ONE_BROKER,
            **self.settings,
            **variables,
        }
        return Service(name, self.directory / f"{name}.log", environment, self.signer.token(scopes=["ops:read"]))

    # ── the servers ──────────────────────────────────────────────────────────────────────────────────────────────

    def start_postgres(self) -> None:
        """Start the database on its data; what is committed waits for the disk."""
        self.postgres = postgres_server.start(
            self.directory / "postgres", log=self.directory / "postgres.log", durable=True, die_with_parent=True
        )

    async def stop_postgres(self) -> None:
        """The immediate stop: connections are cut in the middle of whatever they do."""
        await _gone(self.postgres.process.pid, signal.SIGQUIT)

    async def cut_the_power(self) -> None:
        """`kill -9` of both servers and all services, workers and parents, at once."""
        for service in self.services.values():
            service.destroy()
        await asyncio.gather(
            _gone(self.postgres.process.pid, signal.SIGKILL), _gone(self.broker.process.pid, signal.SIGKILL)
        )

    def start_broker(self) -> None:
        """Start the broker on its data and port."""
        self.broker = kafka_server.start(
            self.directory / "kafka",
            log=self.directory / "kafka.log",
            port=self.broker.port if hasattr(self, "broker") else None,
            heap_mb=384,
            die_with_parent=True,
        )

    async def kill_broker(self) -> None:
        """`kill -9`."""
        await _gone(self.broker.process.pid, signal.SIGKILL)

    # ── the services ─────────────────────────────────────────────────────────────────────────────────────────────

    async def up(self) -> None:
        """Whatever was stopped or killed runs again, and all of it is ready."""
        for service in self.services.values():
            service.start()
        await asyncio.gather(*(service.ready() for service in self.services.values()))

    async def publish(self, events: Sequence[Event]) -> None:
        """Publish as a shop does; returns when the broker has all of it."""
        await publish(events, bootstrap_servers=self.broker.bootstrap, console=QUIET)

    async def settled(self, stalled_after_s: float = 40.0 * SLOWER) -> None:
        """Wait until every record is booked, every fact sent and nothing due is left."""
        async with Watch(self.dsn, self.broker.bootstrap) as watch:
            await settle(watch.look, console=QUIET, stalled_after_s=stalled_after_s)

    async def verified(self) -> None:
        """Every service's own check of all its books holds (what is broken is in the output)."""
        ledger, tiering, notifier = (
            {"database_url": as_role(self.dsn, name), "kafka_bootstrap_servers": self.broker.bootstrap}
            for name in SERVICES
        )
        assert await verify_ledger(LedgerSettings.model_validate(ledger), ["--json"]) == 0
        assert await verify_tiering(TieringSettings.model_validate(tiering), ["--json"]) == 0
        assert await verify_notifier(NotifierSettings.model_validate(notifier), ["--json"]) == 0

    async def ends_as_modelled(self, *shops: Shop) -> None:
        """Settle; then each shop's members have what the naive model says, each that joined was welcomed once, what
        was decided was sent, and the services' own checks hold."""
        await self.settled()
        actual = await self.ended()
        for shop in shops:
            assert shop.members <= actual.net.keys()
            assert actual.of(shop) == expected(shop.events)
            assert await self._welcomed(shop) == dict.fromkeys(shop.joined, 1)
        for channel in ("sms", "email"):
            await self._sent(channel)
        await self.verified()

    async def _welcomed(self, shop: Shop) -> dict[str, int]:
        """How often each member of a shop was welcomed in the app, or was not for a reason that is kept."""
        async with self.database() as look:
            rows = await look.fetch(
                "SELECT member_id, count(*) AS times FROM notifier.message "
                "WHERE touchpoint = 'joined' AND channel = 'inapp' AND member_id LIKE $1 GROUP BY member_id",
                f"{shop.name}.%",
            )
        return {row["member_id"]: row["times"] for row in rows}

    async def _sent(self, channel: str) -> None:
        """Every message that was decided for a gateway is on its topic, and no other."""
        requested = {
            orjson.loads(record.value)["data"]["message_id"]
            async for record in records(self.broker.bootstrap, f"notify.{channel}.v1")
        }
        async with self.database() as look:
            decided = await look.fetchval(
                "SELECT count(*) FROM notifier.message WHERE channel = $1 AND reason IS NULL", channel
            )
        assert len(requested) == decided, channel

    async def ended(self) -> Ended:
        """Where all members stand, in the model's words."""
        found = await outcome(self.dsn, self.broker.bootstrap)
        return Ended(
            found.net,
            {
                order: [(parse_rfc3339(e["at"]), minor_units(e["amount"], 2), e["orders"]) for e in timeline]
                for order, timeline in found.timelines.items()
                if timeline
            },
            {
                member: [
                    (parse_rfc3339(step["effective_at"]), step["tier"]) for step in history if step["tier"] != "none"
                ]
                for member, history in found.tiers.items()
                if any(step["tier"] != "none" for step in history)
            },
        )

    @asynccontextmanager
    async def database(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """A superuser's connection."""
        connection = await asyncpg.connect(self.dsn)
        try:
            yield connection
        finally:
            await connection.close()

    async def booked(self, shop: Shop) -> int:
        """How many inputs of a shop's members are journalled."""
        async with self.database() as look:
            return int(
                await look.fetchval(
                    "SELECT count(*) FROM ledger.journal JOIN ledger.identity USING (shard, account) "
                    "WHERE member_id LIKE $1",
                    f"{shop.name}.%",
                )
            )


@contextmanager
def deployed(program: Path = PROGRAM, **settings: str) -> Iterator[Deployment]:
    """A deployment in a directory of its own, gone afterwards."""
    # Not pytest's tmp_path: that is closed to the system user that PostgreSQL runs as under root.
    directory = Path(tempfile.mkdtemp(prefix="points-ledger-deployment-"))
    directory.chmod(0o711)
    deployment = Deployment(directory, settings, program)
    try:
        deployment.open()
        yield deployment
    finally:
        deployment.close()
        if not os.environ.get("KEEP_DEPLOYMENTS"):
            shutil.rmtree(directory, ignore_errors=True)


async def eventually(check: Any, *, seconds: float = 20.0, what: str = "") -> Any:
    """Wait until `check`, a function or a coroutine function, answers something true, and return it.

    It has `seconds` where nothing else runs, and `SLOWER` times as many before this gives up.
    """
    seconds *= SLOWER
    ends = time.monotonic() + seconds
    while True:
        answer = check()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < ends, f"not within {seconds} s: {what or check}"
        await asyncio.sleep(0.1)


async def _gone(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
    await eventually(lambda: Process.of(pid) is None, seconds=20, what=f"the end of process {pid}")
