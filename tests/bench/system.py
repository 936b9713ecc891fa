"""Servers and services of a benchmark: on directories and ports of their own, ended with it in any case.

PostgreSQL and Kafka run as `make run` runs them (durable, the same JVM). Each measurement gets a fresh database,
cloned from one that is migrated and has the default program and its months.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from deploy.local import kafka, postgres
from deploy.local.processes import Process, StartError, free_port, spawn, stop, tail, wait_until
from deploy.local.readiness import readiness
from deploy.local.tokens import Signer
from schemas.topics import ALL, SHARDS
from services.kit import clock
from services.kit.topics import ensure_topics
from services.ledger.months import Months

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAM = CHECKOUT / "deploy" / "program.yaml"
SERVICES = ("ledger", "tiering", "notifier")
_TEMPLATE = "prepared"
_READY_WITHIN_S = 120.0

Say = Callable[[str], None]


class BrokenError(Exception):
    """An invariant does not hold, or something ended that should run: the rate that was measured does not count."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running service."""

    name: str
    process: Process
    url: str
    log: Path

    def check(self) -> None:
        """Raises BrokenError with the end of its log if it does not run any more."""
        if not self.process.running:
            raise BrokenError(f"{self.name} has ended. The end of {self.log}:\n{tail(self.log)}")

    def ready(self) -> None:
        """Returns when it is ready. Raises BrokenError."""
        wait_until(lambda: not self.process.running or readiness(self.url)[0], _READY_WITHIN_S)
        self.check()
        ready, reasons = readiness(self.url)
        if not ready:
            raise BrokenError(f"{self.name} is not ready after {_READY_WITHIN_S:.0f} s: {reasons}")


@dataclass(frozen=True, slots=True)
class Database:
    """A fresh database of one measurement."""

    name: str
    server: postgres.Postgres

    def dsn(self, role: str = postgres.SUPERUSER) -> str:
        """Its address over the Unix socket, which the services take under `make run` too."""
        return self.server.dsn(self.name, role)


@dataclass(frozen=True, slots=True)
class System:
    """Two servers, and the means to run services against them."""

    directory: Path
    postgres: postgres.Postgres
    kafka: kafka.Kafka
    signer: Signer
    say: Say

    @contextmanager
    def database(self, name: str) -> Iterator[Database]:
        """A clone of the prepared database, dropped at the end. Dirty pages of before are written out first, so
        that every measurement begins alike."""
        self.postgres.psql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self.postgres.psql(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        self.postgres.psql("CHECKPOINT")
        try:
            yield Database(name, self.postgres)
        finally:
            self.postgres.psql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @contextmanager
    def service(self, name: str, database: Database, *arguments: str, module: str = "") -> Iterator[Service]:
        """Run `serve` of a service; by default as it is deployed. It is stopped at the end, and must have run."""
        port = free_port()
        log = self.directory / "logs" / f"{name}.log"
        process = spawn(
            [sys.executable, "-m", module or f"services.{name}", "serve", "--port", str(port), *arguments],
            log=log,
            env=self.environment(name, database),
            cwd=CHECKOUT,
            die_with_parent=True,
        )
        service = Service(name, process, f"http://127.0.0.1:{port}", log)
        try:
            yield service
            service.check()
        finally:
            stop(process, grace_s=15)

    def environment(self, service: str, database: Database) -> dict[str, str]:
        """What a service finds in its environment."""
        return {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ},
            "DATABASE_URL": database.dsn(service),
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap,
            **self.signer.environment,
            **kafka.ONE_BROKER,
        }

    def run(self, service: str, database: Database, *arguments: str, **variables: str) -> str:
        """Run a service's own command to its end; what it printed. Raises BrokenError with what it said."""
        done = subprocess.run(
            [sys.executable, "-m", f"services.{service}", *arguments],
            env=self.environment(service, database) | variables,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr.strip() + "\n" + done.stdout.strip())[-3000:]
            raise BrokenError(f"`python -m services.{service} {' '.join(arguments)}` failed:\n{said}")
        return done.stdout

    def verify(self, database: Database, services: Sequence[str] = ("ledger",)) -> dict[str, Any]:
        """Check the invariants; the last service's figures. Raises BrokenError: the rate before it does not count."""
        answer: dict[str, Any] = {}
        for service in services:
            answer = orjson.loads(self.run(service, database, "verify", "--json").splitlines()[-1])
        return answer

    def pgbench(self, database: Database, *arguments: str) -> str:
        """Run pgbench on a database; what it printed. Raises BrokenError."""
        done = subprocess.run(
            [postgres.binary("pgbench"), *arguments, database.dsn()],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BrokenError(f"pgbench failed:\n{done.stderr[-2000:]}")
        return done.stdout

    async def forget_facts(self) -> None:
        """Empty every topic that the services write, as if nothing had been measured before."""
        names = [topic for topic in ALL if topic.name.split(".")[0] != "commerce" and topic.cleanup == "delete"]
        partitions = [TopicPartition(topic.name, n) for topic in names for n in range(topic.partition_count(SHARDS))]
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka.bootstrap, enable_auto_commit=False)
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        await consumer.start()
        await admin.start()
        try:
            consumer.assign(partitions)
            consumer.pause(*partitions)
            ends = await consumer.end_offsets(partitions)
            filled = {place: RecordsToDelete(before_offset=end) for place, end in ends.items() if end}
            if filled:
                await admin.delete_records(filled, timeout_ms=30_000)
        finally:
            await admin.close()
            await consumer.stop()


@contextmanager
def system(
    directory: Path, say: Say, *, broker: bool = True, settings: Mapping[str, str] | None = None
) -> Iterator[System]:
    """Start everything in `directory`, which is wiped before and after; without a broker for who needs none.

    `settings` are PostgreSQL's, where they differ from those of `make run`.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o711, parents=True)
    database = postgres.start(
        directory / "postgres", log=directory / "logs" / "postgres.log", settings=settings, die_with_parent=True
    )
    running: kafka.Kafka | None = None
    try:
        say("PostgreSQL runs")
        running = (
            kafka.start(directory / "kafka", log=directory / "logs" / "kafka.log", die_with_parent=True, say=say)
            if broker
            else kafka.Kafka(database.process, directory, 1)
        )
        ours = System(directory, database, running, Signer.kept_in(directory / "keys"), say)
        if broker:
            asyncio.run(ensure_topics(running.bootstrap))
            say("Kafka runs")
        _prepare(ours)
        if broker:
            _publish_program(ours)
        say("the services' schemas are migrated, the default program is published")
        yield ours
    finally:
        if broker and running is not None:
            kafka.stop(running)
        postgres.stop(database)
        shutil.rmtree(directory, ignore_errors=True)


def _prepare(ours: System) -> None:
    """Make the database that every measurement's is cloned from."""
    ours.postgres.psql(f"CREATE DATABASE {_TEMPLATE}")
    template = Database(_TEMPLATE, ours.postgres)
    with ThreadPoolExecutor(len(SERVICES)) as pool:
        list(pool.map(lambda s: ours.run(s, template, "migrate", MIGRATION_DATABASE_URL=template.dsn()), SERVICES))
    ours.run("ledger", template, "publish", str(PROGRAM))
    asyncio.run(_lay_months(template))
    if ours.postgres.psql("SELECT count(*) FROM ledger.program", _TEMPLATE) != "1":
        raise StartError("the default program is not there")


def _publish_program(ours: System) -> None:
    """Let the program reach its topic, where the other services read it."""
    template = Database(_TEMPLATE, ours.postgres)
    with ours.service("ledger", template, "--parts", "relay") as relay:
        waiting = "SELECT count(*) FROM ledger.outbox"
        sent = wait_until(lambda: ours.postgres.psql(waiting, _TEMPLATE) == "0", _READY_WITHIN_S)
        relay.check()
    if not sent:
        raise StartError("the program was not announced")


async def _lay_months(database: Database) -> None:
    connection = await asyncpg.connect(database.dsn(), server_settings={"search_path": "ledger"})
    try:
        await Months().lay(connection, clock.now())
    finally:
        await connection.close()
