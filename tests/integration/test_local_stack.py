"""The local stack by its real command: what it starts, keeps, finds again, leaves alone."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.local import kafka as kafka_server
from deploy.local import postgres as postgres_server
from deploy.local.processes import Process, ancestors, free_port, marked, spawn, stop, wait_until
from deploy.local.tokens import AUDIENCE, ISSUER, Signer
from tests.conftest import REPOSITORY

CLEAN = {
    name: value
    for name, value in os.environ.items()
    if name not in {"KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "MIGRATION_DATABASE_URL", "LOCAL_SERVERS"}
}


@dataclass
class Local:
    """A stack in a directory of its own, driven as a person drives it."""

    directory: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one command, with more environment."""
        return subprocess.run(
            [sys.executable, "-m", "deploy.local", "--dir", str(self.directory), *arguments],
            env=CLEAN | self.variables | variables,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )

    def started(self) -> Mapping[str, str]:
        """Bring the two servers up and read the addresses they told."""
        done = self("start", "--servers-only")
        assert done.returncode == 0, done.stdout + done.stderr
        return self.env()

    def env(self) -> dict[str, str]:
        lines = (self.directory / "env").read_text().splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def state(self) -> dict[str, dict[str, dict[str, float]]]:
        found: dict[str, dict[str, dict[str, float]]] = json.loads((self.directory / "state.json").read_text())
        return found

    def process(self, name: str) -> Process:
        kept = self.state()["processes"][name]
        return Process(int(kept["pid"]), kept["started"])

    @property
    def database(self) -> postgres_server.Postgres:
        found = postgres_server.running(self.directory / "postgres")
        assert found is not None
        return found


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that PostgreSQL's user may pass through; pytest's own are closed."""
    path = Path(tempfile.mkdtemp(prefix="points-ledger-stack-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def local(usual_ports: None) -> Iterator[Local]:
    """A stack for several tests: each brings it into the state it needs."""
    stack = Local(Path(tempfile.mkdtemp(prefix="points-ledger-stack-")))
    stack.directory.chmod(0o711)
    yield stack
    done = stack("reset")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def sleeper() -> Iterator[psutil.Process]:
    """A process that is nobody's business."""
    with psutil.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


# --- start


def test_a_second_start_finds_both_servers_running_and_starts_none(local: Local) -> None:
    first = local.started()
    before = local.process("postgres"), local.process("kafka")
    second = local.started()
    assert (local.process("postgres"), local.process("kafka")) == before
    assert {**first, "SHOP_TOKEN": ""} == {**second, "SHOP_TOKEN": ""}


def test_the_servers_answer_at_the_addresses_in_env_and_listen_on_loopback_only(local: Local) -> None:
    env = local.started()
    assert kafka_server.answers(env["KAFKA_BOOTSTRAP_SERVERS"])
    query = [postgres_server.binary("psql"), "-qAtXc", "SELECT 1", env["DATABASE_URL"]]
    assert subprocess.check_output(query, text=True).strip() == "1"
    for name in ("postgres", "kafka"):
        listening = [
            connection.laddr.ip
            for connection in psutil.Process(local.process(name).pid).net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_tcp_asks_for_the_password(local: Local) -> None:
    env = local.started()
    wrong = env["DATABASE_URL"].replace(json.loads((local.directory / "state.json").read_text())["password"], "wrong")
    query = [postgres_server.binary("psql"), "-qAtXc", "SELECT 1", wrong]
    assert "password authentication failed" in subprocess.run(query, capture_output=True, text=True, check=False).stderr


def test_addresses_and_keys_are_for_their_owner_only(local: Local) -> None:
    local.started()
    for name in ("env", "state.json", "keys/signing-key.pem"):
        assert (local.directory / name).stat().st_mode & 0o077 == 0


def test_a_shell_that_sourced_env_does_not_make_the_stack_external_to_itself(local: Local) -> None:
    env = local.started()
    again = local("start", "--servers-only", **env)
    assert again.returncode == 0
    assert "given by" not in again.stdout


def test_status_says_what_runs(local: Local) -> None:
    local.started()
    printed = local("status").stdout
    assert str(local.process("kafka").pid) in printed
    assert printed.count("ready") == 2
    assert printed.count("stopped") == 3


def test_two_commands_at_once_do_not_meet(local: Local) -> None:
    import fcntl

    local.directory.mkdir(exist_ok=True)
    with (local.directory / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = local("stop")
    assert done.returncode == 1
    assert done.stderr.strip() == "Another command is starting or stopping this stack; try again when it is done."


# --- stop and after


def test_data_and_ports_survive_a_stop(local: Local) -> None:
    env = local.started()
    local.database.psql("CREATE TABLE IF NOT EXISTS kept (n int); INSERT INTO kept VALUES (7)", "loyalty")
    assert "Stopped kafka, postgres" in local("stop", **env).stdout
    assert not list(marked(local.directory))
    after = local.started()
    assert local.database.psql("SELECT count(*) > 0 FROM kept", "loyalty") == "t"
    assert after["DATABASE_URL"] == env["DATABASE_URL"]
    assert after["KAFKA_BOOTSTRAP_SERVERS"] == env["KAFKA_BOOTSTRAP_SERVERS"]


def test_servers_that_were_killed_do_not_block_the_next_start(local: Local) -> None:
    local.started()
    local.database.psql("CREATE TABLE IF NOT EXISTS survivor (n int)", "loyalty")
    for name in ("postgres", "kafka"):
        os.kill(local.process(name).pid, signal.SIGKILL)
    local.started()
    assert local.database.psql("SELECT count(*) FROM survivor", "loyalty") == "0"


def test_a_reused_pid_is_never_killed(directory: Path, sleeper: psutil.Process) -> None:
    kept = {"pid": sleeper.pid, "started": sleeper.create_time() - 3600}
    (directory / "state.json").write_text(json.dumps({"processes": {"kafka": kept, "ledger": kept}}))
    assert "Nothing was running" in Local(directory)("stop").stdout
    assert sleeper.status() == psutil.STATUS_SLEEPING


def test_servers_of_a_lost_state_are_found_again(local: Local) -> None:
    local.started()
    broker, database = local.process("kafka"), local.database
    (local.directory / "state.json").unlink()
    env = local.started()
    assert not broker.running
    assert local.process("kafka").running
    assert local.database == database
    query = [postgres_server.binary("psql"), "-qAtXc", "SELECT 1", env["DATABASE_URL"]]
    assert subprocess.check_output(query, text=True).strip() == "1"


def test_reset_wipes_everything(local: Local) -> None:
    local.started()
    processes = local.process("postgres"), local.process("kafka")
    done = local("reset")
    assert done.returncode == 0, done.stderr
    assert not local.directory.exists()
    assert not any(process.running for process in processes)


# --- PostgreSQL alone


def test_a_postmaster_pid_that_names_another_living_process_does_not_block(
    directory: Path, sleeper: psutil.Process
) -> None:
    data, log = directory / "data", directory / "log"
    server = postgres_server.start(data, log=log)
    lines = (data / "postmaster.pid").read_text().splitlines()
    os.kill(server.process.pid, signal.SIGKILL)
    assert wait_until(lambda: not server.process.running, 10)
    (data / "postmaster.pid").write_text("\n".join([str(sleeper.pid), *lines[1:]]) + "\n")
    assert postgres_server.running(data) is None
    again = postgres_server.start(data, log=log)
    try:
        assert again.psql("SELECT 1") == "1"
        assert postgres_server.start(data, log=log).process == again.process
    finally:
        postgres_server.stop(again)


def test_postgres_waits_for_the_disk_unless_told_otherwise(directory: Path) -> None:
    server = postgres_server.start(directory / "data", log=directory / "log")
    try:
        settings = server.psql("SELECT string_agg(name || setting, ',' ORDER BY name) FROM pg_settings WHERE name IN "
                           "('fsync', 'synchronous_commit', 'full_page_writes')")  # fmt: skip
        assert settings == "fsyncon,full_page_writeson,synchronous_commiton"
    finally:
        postgres_server.stop(server)


# --- what is missing is said in a sentence


@pytest.fixture
def programs(directory: Path) -> Callable[..., str]:
    """A PATH that has only the named programs."""

    def make(*names: str) -> str:
        for name in names:
            found = shutil.which(name)
            assert found is not None
            (directory / name).symlink_to(found)
        return str(directory)

    return make


def test_without_java_one_sentence_names_the_package(directory: Path, programs: Callable[..., str]) -> None:
    done = Local(directory / "stack")("start", "--servers-only", PATH=programs("chmod"), JAVA_HOME="")
    assert done.returncode == 1
    assert done.stderr.strip() == kafka_server.JAVA_MISSING
    assert "default-jre-headless" in done.stderr
    Local(directory / "stack")("reset")


def test_without_maven_one_sentence_names_the_package(directory: Path, programs: Callable[..., str]) -> None:
    cache = str(directory / "cache")
    done = Local(directory / "stack")("start", "--servers-only", PATH=programs("java", "chmod"), XDG_CACHE_HOME=cache)
    assert done.returncode == 1
    assert done.stderr.strip() == kafka_server.MAVEN_MISSING
    Local(directory / "stack")("reset")


# --- servers of somebody else


def test_given_servers_are_used_and_never_stopped(
    directory: Path, kafka: str, database: str, postgres_instance: postgres_server.Postgres
) -> None:
    stack = Local(directory / "stack", {"KAFKA_BOOTSTRAP_SERVERS": kafka, "DATABASE_URL": database})
    done = stack("start", "--servers-only")
    assert done.returncode == 0, done.stderr
    env = stack.env()
    assert env["KAFKA_BOOTSTRAP_SERVERS"] == kafka
    assert env["DATABASE_URL"] == f"'{database}'"
    assert env["LOCAL_SERVERS"] == "''"
    assert not list(marked(stack.directory))
    assert not (stack.directory / "postgres").exists()
    assert stack("reset").returncode == 0
    assert kafka_server.answers(kafka)
    assert postgres_instance.accepts()


@pytest.mark.parametrize("variable", ["KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL"])
def test_a_given_server_that_is_silent_is_said_in_a_sentence(
    directory: Path, variable: str, unused_port: int, kafka: str, database: str
) -> None:
    address = f"127.0.0.1:{unused_port}"
    environment = {"KAFKA_BOOTSTRAP_SERVERS": kafka, "DATABASE_URL": database}
    environment[variable] = address if variable.startswith("KAFKA") else f"postgresql://u:secret@{address}/x"
    done = Local(directory / "stack", environment)("start", "--servers-only")
    assert done.returncode == 1
    assert done.stderr.startswith(f"{variable} names {address}, where nothing answers")
    assert "secret" not in done.stderr


# --- what is killed comes back where it was


def test_mend_c10_what_a_killed_parent_left_is_ended_though_it_leads_no_group(directory: Path) -> None:
    told = directory / "child"
    deaf = f"trap '' TERM; echo $$ > {told}; while :; do sleep 0.1; done"
    parent = spawn(["sh", "-c", f"sh -c {shlex.quote(deaf)} & wait"], log=directory / "log")
    assert wait_until(lambda: told.exists() and told.read_text().endswith("\n"), 10)
    left = Process.of(int(told.read_text()))
    assert left is not None
    os.kill(parent.pid, signal.SIGKILL)
    assert wait_until(lambda: not parent.running, 10)
    stop(left, grace_s=0.2)
    assert not left.running


def test_mend_c10_a_port_that_becomes_free_within_the_time_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(port) != port
        closing = threading.Timer(0.3, taken.close)
        closing.start()
        assert free_port(port, within_s=10) == port
        closing.join()


def test_mend_c10_a_service_killed_with_9_comes_back_under_its_own_port(local: Local) -> None:
    """Also where its workers hang, so that they do not end by themselves."""
    done = local("start")
    assert done.returncode == 0, done.stdout + done.stderr
    before, ledger = local.env(), local.process("ledger")
    workers = psutil.Process(ledger.pid).children(recursive=True)
    for worker in workers:
        worker.suspend()
    os.kill(ledger.pid, signal.SIGKILL)
    again = local("start")
    assert again.returncode == 0, again.stdout + again.stderr
    assert local.process("ledger") != ledger
    assert local.env()["LEDGER_URL"] == before["LEDGER_URL"]
    assert not any(worker.is_running() for worker in workers)
    assert "takes port" not in again.stdout


# --- the whole


def test_start_brings_up_what_is_missing_and_run_says_that_one_is_running(local: Local) -> None:
    done = local("start")
    assert done.returncode == 0, done.stdout + done.stderr
    env = local.env()
    for name in ("LEDGER_URL", "TIERING_URL", "NOTIFIER_URL"):
        assert httpx.get(f"{env[name]}/status").status_code == 200
    balance = f"{env['LEDGER_URL']}/v1/members/nobody-yet/balance"
    assert httpx.get(balance).status_code == 401
    token = local("token", "another").stdout.strip()
    assert httpx.get(balance, headers={"Authorization": f"Bearer {token}"}).status_code == 404
    assert httpx.get(balance, headers={"Authorization": f"Bearer {env['SHOP_TOKEN']}"}).status_code in {200, 404}

    tiering, ledger = local.process("tiering"), local.process("ledger")
    os.kill(ledger.pid, signal.SIGKILL)
    assert local("status").returncode == 1
    assert local("start").returncode == 0
    assert local.process("tiering") == tiering
    assert local.process("ledger") != ledger
    assert local("status").returncode == 0
    # Nothing of the killed service is left: whatever carries the mark descends from what is kept.
    leaders = {local.process(name).pid for name in ("ledger", "tiering", "notifier", "kafka")}
    leaders.add(local.database.process.pid)
    assert all(leaders & {process.pid, *ancestors(process)} for process in marked(local.directory))

    state = json.loads((local.directory / "state.json").read_text())
    (local.directory / "state.json").write_text(json.dumps(state | {"day_done": True}))
    again = local("run")
    assert again.returncode == 0
    assert again.stdout.startswith("A stack is running already")
    assert "make status" in again.stdout

    asked = time.monotonic()
    assert "Stopped ledger, tiering, notifier, kafka, postgres" in local("stop").stdout
    assert time.monotonic() - asked < 40
    assert not list(marked(local.directory))


# --- tokens


def test_a_signer_keeps_its_key_and_signs_what_its_key_set_verifies(directory: Path) -> None:
    import jwt

    signer = Signer.kept_in(directory / "keys")
    keys = jwt.PyJWKSet.from_json(signer.jwks_file.read_text())
    token = Signer.kept_in(directory / "keys").member_token("m-1")
    claims = jwt.decode(token, keys[signer.key_id], ["ES256"], audience=AUDIENCE, issuer=ISSUER)
    assert claims["member"] == "m-1"
    assert "ledger:read" in claims["scope"].split()
    assert "ledger:adjust" not in claims["scope"].split()
    assert claims["exp"] > time.time() + 86_400
