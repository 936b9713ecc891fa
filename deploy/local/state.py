"""What a stack stores in its directory: ports, the password, processes. A lock admits one writer at a time."""

from __future__ import annotations

import contextlib
import fcntl
import hmac
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from deploy.local.processes import Process

_changing = threading.Lock()  # the servers are started side by side


class Kept(msgspec.Struct, frozen=True):
    """A started process: how to find it again, and what it was connected to."""

    pid: int
    started: float
    wiring: str = ""

    @property
    def process(self) -> Process:
        """The process, which may have ended since."""
        return Process(self.pid, self.started)


class State(msgspec.Struct):
    """The contents of `state.json`. Ports stay the same over stops, so that addresses that people noted stay valid."""

    password: str = msgspec.field(default_factory=lambda: secrets.token_hex(16))
    """The password of the database's superuser, over TCP; those of the services' roles are made of it."""
    ports: dict[str, int] = {}
    processes: dict[str, Kept] = {}
    program: str = ""
    """SHA-256 of the program file that was published last."""
    day_done: bool = False
    """Whether a shop's day was published since the start."""

    def password_of(self, role: str) -> str:
        """The password of a service's role: no role's tells that of another."""
        return hmac.digest(self.password.encode(), role.encode(), "sha256").hex()[:32]

    @staticmethod
    def of(directory: Path) -> State:
        """The state of the stack in `directory`; a new one if there is none."""
        try:
            return msgspec.json.decode((directory / "state.json").read_bytes(), type=State)
        except FileNotFoundError:
            return State()

    def keep(self, directory: Path, name: str, process: Process, *, port: int, wiring: str = "") -> None:
        """Add a process that was started, with its port, and save the state."""
        with _changing:
            self.ports[name] = port
            self.processes[name] = Kept(process.pid, process.started, wiring)
        self.save(directory)

    def save(self, directory: Path) -> None:
        """Write the file whole or not at all, readable by its owner only."""
        with _changing:
            scratch = directory / "state.json.new"
            with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(self)))
            scratch.rename(directory / "state.json")

    def running(self, name: str) -> Process | None:
        """The process kept under this name, if it still runs."""
        kept = self.processes.get(name)
        return kept.process if kept is not None and kept.process.running else None


class BusyError(Exception):
    """Another command is starting or stopping this stack."""


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the stack's lock, which dies with its holder. Raises BusyError if another process holds it."""
    while True:
        directory.mkdir(mode=0o711, parents=True, exist_ok=True)  # a server under another user passes through
        path = directory / "lock"
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError from None
            # A reset removes the file together with the directory: then this is nobody's lock, try again.
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                    yield
                    return
