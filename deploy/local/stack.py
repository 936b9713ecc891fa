"""The whole system on one machine: two servers, three services, the default program.

PostgreSQL with its migrations and Kafka with its topics start side by side; then the services start, and the
program, which they wait for, is published. A server whose address is in the environment is used and is neither
started nor stopped.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local import kafka, postgres
from deploy.local.addresses import LOCAL_SERVERS, Wiring, external, silent
from deploy.local.processes import (
    STACK_VARIABLE,
    StartError,
    ancestors,
    free_port,
    marked,
    spawn,
    stop,
    tail,
    wait_until,
)
from deploy.local.readiness import readiness
from deploy.local.state import State
from deploy.local.tokens import Signer
from schemas.topics import SHARDS
from services.kit.topics import Durability, ensure_topics

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAM = CHECKOUT / "deploy" / "program.yaml"
DATABASE = "loyalty"
SERVICES = {"ledger": 8001, "tiering": 8002, "notifier": 8003}
"""The services, and the ports they take if these are free."""

_READY_WITHIN_S = 60.0
_GRACE_S = 10.0
_PORT_WITHIN_S = 5.0
_PREFERRED_PORTS = {"postgres": 5432, "kafka": 9092, **SERVICES}

Say = Callable[[str], None]


@dataclass(slots=True)
class Stack:
    """The stack whose state is in `directory`. Its caller holds the lock for whatever changes it."""

    directory: Path
    say: Say = print
    state: State = field(init=False)

    def __post_init__(self) -> None:
        self.directory = self.directory.resolve()
        self.state = State.of(self.directory)

    # --- where things are

    def log(self, name: str) -> Path:
        """The log file of a server or service."""
        return self.directory / "logs" / f"{name}.log"

    def url(self, service: str) -> str:
        """Base address of a service's HTTP interface."""
        return f"http://127.0.0.1:{self.state.ports.get(service, SERVICES[service])}"

    @property
    def signer(self) -> Signer:
        """The key that the services of this stack trust."""
        return Signer.kept_in(self.directory / "keys")

    @property
    def env_file(self) -> Path:
        """What a shell sources to work with the stack."""
        return self.directory / "env"

    @property
    def running_services(self) -> list[str]:
        """Names of the services whose process runs."""
        return [name for name in SERVICES if self.state.running(name)]

    # --- start

    def start(self) -> Wiring:
        """Bring up what does not run and return when every service is ready. Raises StartError."""
        wiring = self.start_servers(migrate=True)
        self._start_services(wiring)
        self._write_env(wiring)  # again: now the services have their ports
        self._publish_program(wiring)
        self._await_ready()
        return wiring

    def start_servers(self, *, migrate: bool = False) -> Wiring:
        """Bring up the database and the broker with its topics, and no service. Raises StartError."""
        self._end_strays()
        _ = self.signer  # its key is made here once: the migrations below run at once and all name its file
        with ThreadPoolExecutor(max_workers=2) as pool:
            database = pool.submit(self._start_database, migrate)
            broker = pool.submit(self._start_broker)
        wiring = replace(database.result(), bootstrap=broker.result())
        self._write_env(wiring)
        return wiring

    def _start_database(self, migrate: bool) -> Wiring:
        began = time.monotonic()
        given = external("DATABASE_URL")
        if given is not None:
            address = urlsplit(given)
            if address.hostname and not kafka.listens(address.hostname, address.port or 5432):
                raise StartError(silent("DATABASE_URL", address.netloc.rpartition("@")[2]))
            wiring = Wiring("", given, os.environ.get("MIGRATION_DATABASE_URL", given))
            self.say("postgres   used as given by DATABASE_URL")
        else:
            runs = postgres.running(self.directory / "postgres")
            server = postgres.start(
                self.directory / "postgres",
                log=self.log("postgres"),
                port=runs.port if runs is not None else self._port("postgres"),
                password=self.state.password,
                env=self._mark | {"PATH": os.environ.get("PATH", os.defpath)},
            )
            self.state.keep(self.directory, "postgres", server.process, port=server.port)
            # The state may have been lost and with it the password that the cluster was made with.
            server.psql(f"ALTER ROLE {postgres.SUPERUSER} PASSWORD '{self.state.password}'")
            if not server.psql(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"):
                server.psql(f"CREATE DATABASE {DATABASE}")
            # The services take the socket, which is faster; tools that know no sockets take TCP.
            wiring = Wiring("", server.tcp_dsn(self.state.password, DATABASE), server.dsn(DATABASE))
            self.say(f"postgres   runs on 127.0.0.1:{server.port} ({time.monotonic() - began:.1f} s)")
        if migrate:
            began = time.monotonic()
            with ThreadPoolExecutor(max_workers=len(SERVICES)) as pool:
                list(pool.map(lambda service: self._migrate(service, wiring), SERVICES))
            self.say(f"postgres   migrated ({time.monotonic() - began:.1f} s)")
        return wiring

    def _migrate(self, service: str, wiring: Wiring) -> None:
        self._command(service, ["migrate"], wiring, MIGRATION_DATABASE_URL=wiring.admin_dsn)

    def _start_broker(self) -> str:
        began = time.monotonic()
        given = external("KAFKA_BOOTSTRAP_SERVERS")
        running = self.state.running("kafka")
        if given is not None:
            bootstrap = given
            if not kafka.answers(bootstrap):
                raise StartError(silent("KAFKA_BOOTSTRAP_SERVERS", bootstrap))
            self.say("kafka      used as given by KAFKA_BOOTSTRAP_SERVERS")
        elif running is not None:
            bootstrap = f"127.0.0.1:{self.state.ports['kafka']}"
            if not wait_until(lambda: kafka.answers(bootstrap), _READY_WITHIN_S):
                raise StartError(f"Kafka (pid {running.pid}) runs but does not answer: `make stop` ends it.")
            self.say(f"kafka      runs on {bootstrap}")
        else:
            broker = kafka.start(
                self.directory / "kafka",
                log=self.log("kafka"),
                port=self._port("kafka"),
                env=self._environment,
                say=lambda what: self.say(f"kafka      {what}"),
            )
            self.state.keep(self.directory, "kafka", broker.process, port=broker.port)
            bootstrap = broker.bootstrap
            self.say(f"kafka      runs on {bootstrap} ({time.monotonic() - began:.1f} s)")
        wanted = self._environment
        durability = Durability(int(wanted["REPLICATION_FACTOR"]), int(wanted["MIN_INSYNC_REPLICAS"]))
        made = asyncio.run(ensure_topics(bootstrap, int(wanted.get("SHARDS", SHARDS)), durability=durability))
        if made:
            self.say(f"kafka      made {len(made)} topics")
        return bootstrap

    def _start_services(self, wiring: Wiring) -> None:
        self._end_strays()  # again: workers whose parent was killed since still hold its port
        for name in SERVICES:
            running = self.state.running(name)
            if running is not None and self.state.processes[name].wiring == wiring.digest:
                continue
            if running is not None:  # its servers have moved
                stop(running, grace_s=_GRACE_S)
            port = self._port(name)
            process = spawn(
                [sys.executable, "-m", f"services.{name}", "serve"],
                log=self.log(name),
                env=self._service_environment(name, wiring) | {"HTTP_PORT": str(port)},
                cwd=CHECKOUT,
            )
            self.state.keep(self.directory, name, process, port=port, wiring=wiring.digest)

    def _publish_program(self, wiring: Wiring) -> None:
        digest = hashlib.sha256(PROGRAM.read_bytes()).hexdigest()
        if self.state.program == digest:
            return
        self._command("ledger", ["publish", str(PROGRAM)], wiring)
        self.state.program = digest
        self.state.save(self.directory)
        self.say("program    published")

    def _await_ready(self) -> None:
        began = time.monotonic()
        waiting = list(SERVICES)
        token = self.signer.token(scopes=["ops:read"])
        while waiting:
            for name in list(waiting):
                if self.state.running(name) is None:
                    raise StartError(f"{name} ended. The end of {self.log(name)}:\n{tail(self.log(name))}")
                ready, reasons = readiness(self.url(name), token)
                if ready:
                    waiting.remove(name)
                    self.say(f"{name:<10} ready on {self.url(name)} ({time.monotonic() - began:.1f} s)")
                elif time.monotonic() - began > _READY_WITHIN_S:
                    raise StartError(f"{name} is not ready after {_READY_WITHIN_S:.0f} s: {reasons}")
            time.sleep(0.05)

    def _write_env(self, wiring: Wiring) -> None:
        addresses = {"KAFKA_BOOTSTRAP_SERVERS": wiring.bootstrap, "DATABASE_URL": wiring.database}
        lines = {
            **addresses,
            **{f"{name.upper()}_URL": self.url(name) for name in SERVICES},
            "SHOP_TOKEN": self.signer.token(),
            LOCAL_SERVERS: ",".join(address for name, address in addresses.items() if external(name) is None),
        }
        text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in lines.items())
        with open(os.open(self.env_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)

    # --- use

    @property
    def environment(self) -> dict[str, str]:
        """The variables of `.local/env`, by name. Raises StartError if the stack was never started."""
        try:
            lines = self.env_file.read_text().splitlines()
        except FileNotFoundError:
            raise StartError("Nothing runs here; `make start` brings everything up.") from None
        return {name: "".join(shlex.split(value)) for name, _, value in (line.partition("=") for line in lines)}

    def execute(self, program: Sequence[str]) -> int:
        """Run a program in the checkout with the stack's addresses in its environment; its exit code."""
        return subprocess.run(program, env=os.environ | self.environment, cwd=CHECKOUT, check=False).returncode

    def service_command(self, service: str, arguments: Sequence[str]) -> int:
        """Run a service's own command (`verify`, `redrive`, …) as that service; its exit code."""
        known = self.environment
        server = postgres.running(self.directory / "postgres")
        admin_dsn = server.dsn(DATABASE) if server is not None else known["DATABASE_URL"]
        wiring = Wiring(known["KAFKA_BOOTSTRAP_SERVERS"], known["DATABASE_URL"], admin_dsn)
        command = [sys.executable, "-m", f"services.{service}", *arguments]
        env = self._service_environment(service, wiring)
        return subprocess.run(command, env=env, cwd=CHECKOUT, check=False).returncode

    # --- stop

    def stop(self) -> list[str]:
        """End what this stack started and return the names of what ran; the data stays."""
        ended = []
        running = [(name, process) for name in SERVICES if (process := self.state.running(name))]
        with ThreadPoolExecutor(max_workers=len(SERVICES)) as pool:
            list(pool.map(lambda found: stop(found[1], grace_s=_GRACE_S), running))
        ended += [name for name, _ in running]
        self._end_strays(spare=("kafka", "postgres"))
        broker = self.state.running("kafka")
        if broker is not None:
            stop(broker, grace_s=20)
            ended.append("kafka")
        server = postgres.running(self.directory / "postgres")
        if server is not None:
            postgres.stop(server)
            ended.append("postgres")
        self._end_strays(spare=())
        if ended:
            self.state.processes.clear()
            self.state.day_done = False
            self.state.save(self.directory)
        return ended

    def reset(self) -> None:
        """Stop, then forget everything: data, keys, logs, ports. Fetched jars stay in the user's cache."""
        self.stop()
        shutil.rmtree(self.directory)

    # --- helpers

    def _end_strays(self, spare: tuple[str, ...] = ("kafka", "postgres", *SERVICES)) -> None:
        """End what carries this stack's mark but descends from none of the running processes named in `spare`.

        These are workers whose parent was killed, a start that was killed half-way, and everything if `state.json`
        was lost.
        """
        spared = {process.pid for name in spare if (process := self.state.running(name))}
        server = postgres.running(self.directory / "postgres")
        if server is not None:
            spared.add(server.process.pid)
        strays = [found for found in marked(self.directory) if not spared & {found.pid, *ancestors(found)}]
        with ThreadPoolExecutor(max_workers=len(strays) or 1) as pool:
            list(pool.map(lambda stray: stop(stray, grace_s=_GRACE_S), strays))

    def _port(self, name: str) -> int:
        """The port that the stack had before, else the usual one; another if that is taken by somebody else."""
        had = self.state.ports.get(name)
        wanted = had or _PREFERRED_PORTS[name]
        # The system may take a moment to give back what a process held that was killed.
        port = free_port(wanted, within_s=_PORT_WITHIN_S if had else 0.0)
        if port != wanted:
            self.say(f"{name:<10} takes port {port}: another program listens on {wanted}")
        return port

    @property
    def _mark(self) -> dict[str, str]:
        return {STACK_VARIABLE: str(self.directory)}

    @property
    def _environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if name != "MIGRATION_DATABASE_URL"}
        return kafka.ONE_BROKER | ours | self._mark

    def _service_environment(self, service: str, wiring: Wiring) -> dict[str, str]:
        return self._environment | {
            "DATABASE_URL": wiring.dsn_of(service, self.state.password_of(service)),
            "KAFKA_BOOTSTRAP_SERVERS": wiring.bootstrap or "127.0.0.1:1",  # a migration speaks to no broker
            **self.signer.environment,
        }

    def _command(self, service: str, arguments: list[str], wiring: Wiring, **variables: str) -> None:
        """Run one of a service's commands to its end. Raises StartError with what it said."""
        done = subprocess.run(
            [sys.executable, "-m", f"services.{service}", *arguments],
            env=self._service_environment(service, wiring)
            | {"RUNTIME_PASSWORD": self.state.password_of(service), **variables},
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip())[-3000:]
            raise StartError(f"`python -m services.{service} {' '.join(arguments)}` failed:\n{said}")
