"""Real servers for the tests: one PostgreSQL and one Kafka a process, started when first asked for.

They run on directories of their own and free ports, never on those of a running `make run`, and end with the
process, also when it is killed. `tests.sharing` says how many processes there are and which tests each has.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from deploy.local import kafka as kafka_server
from deploy.local import postgres as postgres_server
from deploy.local.processes import free_port
from deploy.local.tokens import Signer
from tests.temporary import own_directory

pytest_plugins = ["tests.sharing"]

# A fresh seed finds what others did not; a build that checks a change should fail for that change alone.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

RESTARTS = 4


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--restarts", type=int, default=RESTARTS, help="restarts of one ledger in a loop")


# The broker of these tests is one, which no setting of a test has to say again.
for _name, _value in kafka_server.ONE_BROKER.items():
    os.environ.setdefault(_name, _value)

SERVICES = ("ledger", "tiering", "notifier")
REPOSITORY = Path(__file__).parent.parent

MakeDatabase = Callable[..., str]


@pytest.fixture(scope="session", autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What this process and all it starts put into temporary files is in here, also when a test is killed."""
    tmp_path_factory.getbasetemp()  # pytest's own stays where it is: it keeps the files of the last three sessions
    with own_directory() as directory:
        yield directory


@pytest.fixture(scope="session")
def server_dir(temporary: Path) -> Path:
    """Where this session's servers keep their data."""
    path = temporary / "servers"
    path.mkdir(mode=0o711)
    return path


@pytest.fixture(scope="session")
def postgres_instance(server_dir: Path) -> Iterator[postgres_server.Postgres]:
    """The session's PostgreSQL. It does not wait for the disk: tests of durability start their own."""
    server = postgres_server.start(
        server_dir / "postgres", log=server_dir / "postgres.log", durable=False, die_with_parent=True
    )
    yield server
    postgres_server.stop(server)


@pytest.fixture(scope="session")
def postgres(postgres_instance: postgres_server.Postgres) -> str:
    """DSN of the session's PostgreSQL: superuser, database `postgres`."""
    return postgres_instance.dsn()


@pytest.fixture(scope="session")
def make_database(postgres_instance: postgres_server.Postgres) -> MakeDatabase:
    """Make another database and return its superuser DSN: `make_database()`, `make_database(template="…")`.

    For fixtures of wider scope than a test; a single test asks for `database` or `migrated_database`.
    """
    numbers = itertools.count(1)

    def make(template: str = "template0") -> str:
        name = f"test_{next(numbers)}"
        postgres_instance.psql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return postgres_instance.dsn(name)

    return make


@pytest.fixture
def database(make_database: MakeDatabase) -> str:
    """Superuser DSN of an empty database of this test alone."""
    return make_database()


@pytest.fixture(scope="session")
def migrated_template(postgres_instance: postgres_server.Postgres) -> str:
    """Name of a database that all services' migrations were applied to, by their own commands."""
    name = "migrated"
    postgres_instance.psql(f"CREATE DATABASE {name}")
    for service in SERVICES:
        migrate(service, postgres_instance.dsn(name))
    return name


@pytest.fixture
def migrated_database(make_database: MakeDatabase, migrated_template: str) -> str:
    """Superuser DSN of a migrated database of this test alone; `as_role` gives a service's own address."""
    return make_database(template=migrated_template)


@pytest.fixture(scope="session")
def kafka(server_dir: Path) -> Iterator[str]:
    """Bootstrap servers of the session's broker. It has no topics but those that tests make."""
    broker = kafka_server.start(
        server_dir / "kafka",
        log=server_dir / "kafka.log",
        heap_mb=384,
        die_with_parent=True,
    )
    yield broker.bootstrap
    kafka_server.stop(broker)


@pytest.fixture(scope="session")
def signer(server_dir: Path) -> Signer:
    """The key that signs this session's tokens: `signer.token(scopes=…)`, `signer.member_token(…)`."""
    return Signer.kept_in(server_dir / "keys")


@pytest.fixture(scope="session")
def jwks_file(signer: Signer) -> Path:
    """The file to give to a service as JWKS_FILE."""
    return signer.jwks_file


@pytest.fixture(scope="module")
def usual_ports(temporary: Path) -> Iterator[None]:
    """Leave to start a stack on the ports that `make run` takes: two at a time would take them from each other."""
    with (temporary.parent / f"points-ledger-usual-ports-{os.getuid()}").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def unused_port() -> int:
    """A TCP port on loopback nobody listens on."""
    return free_port()


def as_role(dsn: str, role: str) -> str:
    """The same database, entered as `role` (over the socket, where every role is trusted)."""
    return dsn.replace(f"//{postgres_server.SUPERUSER}@", f"//{role}@", 1)


def migrate(service: str, dsn: str) -> None:
    """Apply a service's migrations by its command, as an operator does."""
    done = subprocess.run(
        [sys.executable, "-m", f"services.{service}", "migrate"],
        env={
            "PATH": "/usr/bin:/bin",
            "MIGRATION_DATABASE_URL": dsn,
            "DATABASE_URL": as_role(dsn, service),
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",  # a migration speaks to no broker
        },
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
