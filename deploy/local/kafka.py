"""Apache Kafka in KRaft mode, one node, by class path: its jars come from Maven's repository (kafka.pom.xml).

The jars are kept in the user's cache directory, so that wiping the stack, or another checkout, does not fetch
them again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient

from deploy.local.processes import Process, StartError, free_port, spawn, tail
from deploy.local.processes import stop as stop_process

HERE = Path(__file__).parent
POM = HERE / "kafka.pom.xml"
LOG4J = HERE / "kafka.log4j2.properties"
JAVA_MISSING = (
    "Kafka needs Java 17 or newer: install default-jre-headless (Debian, Ubuntu: sudo apt-get install "
    "default-jre-headless) or openjdk (macOS: brew install openjdk)."
)
MAVEN_MISSING = (
    "Fetching Kafka the first time needs Maven: install maven (Debian, Ubuntu: sudo apt-get install maven; "
    "macOS: brew install maven)."
)
JVM = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""For a broker on a machine that has other work: the full compiler would take a core from it for the first minutes
(44 µs of processor a record where this takes 15, over the first 40,000), and a broker gains little from it."""

ONE_BROKER = {"REPLICATION_FACTOR": "1", "MIN_INSYNC_REPLICAS": "1"}
"""What services have to be told of a cluster of one, which keeps a record only as well as its one disk."""

_ADDED_TO = frozenset({"listeners", "advertised.listeners", "listener.security.protocol.map"})
_JAVA_AT_LEAST = 17
_START_TIMEOUT_S = 90  # a broker that was killed checks its logs first
_CLUSTER_ID = "bG95YWx0eS1sb2NhbC1rZg"  # 16 bytes in base64; any will do for a cluster of one

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Kafka:
    """A running broker."""

    process: Process
    data: Path
    port: int

    @property
    def bootstrap(self) -> str:
        """What clients put into `bootstrap_servers`."""
        return f"127.0.0.1:{self.port}"


def start(
    data: Path,
    *,
    log: Path,
    port: int | None = None,
    heap_mb: int = 512,
    env: Mapping[str, str] | None = None,
    die_with_parent: bool = False,
    say: Say = lambda _: None,
    more: Mapping[str, str] | None = None,
    scram: Mapping[str, str] | None = None,
) -> Kafka:
    """Start a broker on `data`, formatting it first if it is new; return when it answers requests.

    `port` is taken if it is free, else another. `more` are further properties; what they say of listeners is added to
    the broker's own. `scram` has passwords by user, which a new broker knows for SCRAM-SHA-512. Raises StartError: Java
    or Maven is missing, or the end of its log.
    """
    java = find_java()
    libs = jars(say)
    data = data.resolve()
    port, controller_port = free_port(port), free_port()
    properties = _properties(data / "log", port, controller_port, more or {})
    if not (data / "log" / "meta.properties").exists():
        _format(java, libs, data, port, controller_port, scram or {})
    config = data / "server.properties"
    config.write_text(properties)
    process = spawn(
        [*_java(java, libs, f"-Xms{heap_mb // 4}m", f"-Xmx{heap_mb}m", *JVM), "kafka.Kafka", str(config)],
        log=log,
        env=env,
        die_with_parent=die_with_parent,
    )
    broker = Kafka(process, data, port)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not answers(broker.bootstrap):
        if not process.running:
            raise StartError(f"Kafka did not start. The end of {log}:\n{tail(log)}")
        if time.monotonic() > deadline:
            stop(broker)
            raise StartError(f"Kafka did not answer within {_START_TIMEOUT_S} s. The end of {log}:\n{tail(log)}")
        time.sleep(0.1)
    return broker


def stop(broker: Kafka) -> None:
    """Stop the broker: it writes its logs out first. Returns when it is gone."""
    stop_process(broker.process, grace_s=20)


def answers(bootstrap: str, timeout_s: float = 5.0) -> bool:
    """Whether a broker answers with its metadata within `timeout_s` seconds. May be called beside a running loop."""

    async def ask() -> bool:
        client = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=int(timeout_s * 1000))
        try:
            async with asyncio.timeout(timeout_s):
                await client.start()
                return bool((await client.describe_cluster())["brokers"])
        except Exception:  # refused, cut, not yet a leader: all mean not yet
            return False
        finally:
            with contextlib.suppress(Exception):
                await client.close()

    # Probing a closed port first keeps aiokafka from logging each refusal.
    host, port = bootstrap.split(",", maxsplit=1)[0].rsplit(":", 1)
    if not listens(host, int(port)):
        return False
    answer: list[bool] = []
    thread = threading.Thread(target=lambda: answer.append(asyncio.run(ask())))
    thread.start()
    thread.join()
    return bool(answer and answer[0])


def find_java() -> str:
    """The `java` to run: of JAVA_HOME, else of PATH. Raises StartError if there is none, or it is too old."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else None
    java = java or shutil.which("java")
    if java is None:
        raise StartError(JAVA_MISSING)
    # On macOS /usr/bin/java exists without Java, and fails.
    answer = subprocess.run([java, "-version"], check=False, capture_output=True, text=True)
    version = re.search(r'version "(\d+)', answer.stderr)
    if answer.returncode != 0 or version is None or int(version.group(1)) < _JAVA_AT_LEAST:
        raise StartError(JAVA_MISSING)
    return java


def jars(say: Say = lambda _: None) -> Path:
    """The directory of Kafka's jars, fetched by Maven the first time. Raises StartError."""
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "points-ledger"
    libs = caches / f"kafka-{digest}"
    if libs.exists():
        return libs
    maven = shutil.which("mvn")
    if maven is None:
        raise StartError(MAVEN_MISSING)
    say("fetching Apache Kafka (43 MB, once)")
    caches.mkdir(parents=True, exist_ok=True)
    fetched = Path(tempfile.mkdtemp(prefix="kafka-", dir=caches))
    try:
        done = subprocess.run(
            [
                *(maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"),
                *(f"-DoutputDirectory={fetched}", "-DincludeScope=runtime"),
            ],
            stdin=subprocess.DEVNULL,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise StartError(f"Maven could not fetch Kafka:\n{(done.stdout + done.stderr).strip()[-2000:]}")
        with contextlib.suppress(OSError):  # another start was faster: its jars are the same
            fetched.rename(libs)
    finally:
        shutil.rmtree(fetched, ignore_errors=True)
    return libs


def _java(java: str, libs: Path, *options: str) -> list[str]:
    return [java, *options, f"-Dlog4j2.configurationFile={LOG4J}", "-cp", f"{libs}/*"]


def _format(java: str, libs: Path, data: Path, port: int, controller_port: int, scram: Mapping[str, str]) -> None:
    """Make the metadata directory: whole or not at all, so that a killed start leaves nothing half-made."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.rmtree(data / "log", ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=data) as scratch:
        config = Path(scratch) / "format.properties"
        config.write_text(_properties(Path(scratch) / "log", port, controller_port, {}))
        tool = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(config)]
        for user, password in scram.items():
            tool += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"]
        command = [*_java(java, libs, *JVM), *tool]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise StartError(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")
        (Path(scratch) / "log").rename(data / "log")


def _properties(log_dir: Path, port: int, controller_port: int, more: Mapping[str, str]) -> str:
    settings: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"BROKER://127.0.0.1:{port}",
        "inter.broker.listener.name": "BROKER",
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": log_dir,
        # One node: nothing can be replicated.
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # A handful of consumer groups: each partition of these is files and memory for nothing.
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.num.partitions": 4,
        "group.initial.rebalance.delay.ms": 0,
        "auto.create.topics.enable": "false",
        # After kill -9 the controller refuses the restarted broker until the session of the killed one has timed out.
        "broker.session.timeout.ms": 6_000,
        "log.cleaner.dedupe.buffer.size": 8 * 2**20,  # default 128 MiB, a quarter of the heap
        "log.segment.bytes": 256 * 2**20,
        "log.message.timestamp.type": "LogAppendTime",
        # Offsets live in the services' databases; the broker's copy only serves lag tools.
        "offsets.retention.minutes": 60 * 24 * 30,
    }
    for name, value in more.items():
        settings[name] = f"{settings[name]},{value}" if name in _ADDED_TO else value
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
