"""Background processes that outlive the command that started them, identified so that none is mistaken for another."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

STACK_VARIABLE = "POINTS_LEDGER_STACK"
"""Set in the environment of every process of a stack, to the directory of that stack."""

_SAME_PROCESS_S = 5.0  # the system's boot time, from which start times are derived, moves with clock corrections
_POLL_S = 0.02

_children: set[int] = set()
"""Children of this very process that were not reaped yet."""


class StartError(Exception):
    """Something cannot be started; the message is one sentence that says what to do, or the end of a log."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process by pid **and** start time (seconds since the epoch): a reused pid is another process."""

    pid: int
    started: float

    @staticmethod
    def of(pid: int) -> Process | None:
        """The process that has this pid now, or None. A zombie is none."""
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return Process(pid, process.create_time())
        except psutil.NoSuchProcess:
            return None

    @property
    def running(self) -> bool:
        """Whether it still runs; also reaps it if it was a child of this process and has ended."""
        if self.pid in _children and os.waitpid(self.pid, os.WNOHANG)[0]:
            _children.discard(self.pid)
        now = Process.of(self.pid)
        return now is not None and abs(now.started - self.started) < _SAME_PROCESS_S


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    die_with_parent: bool = False,
) -> Process:
    """Start `command` in its own session, its output appended to `log`, its input empty.

    `user`: the system user to run as (only root may). `die_with_parent`: on Linux the kernel ends it when
    this process dies, however that happens; for test servers.
    """
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    preparation = _die_with_parent if die_with_parent and sys.platform == "linux" else None
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            user=user,
            group=_group_of(user),
            extra_groups=[] if user else None,
            umask=0o077 if user else -1,
            start_new_session=True,
            preexec_fn=preparation,  # noqa: PLW1509  # one prctl, no Python locks
        )
    _children.add(child.pid)
    child.returncode = 0  # it outlives its handle, which need not warn of that: `running` reaps it
    # A child that ended at once is still a zombie of ours, so its start time can be read.
    return Process(child.pid, psutil.Process(child.pid).create_time())


def stop(process: Process, *, ask: signal.Signals = signal.SIGTERM, grace_s: float = 10.0) -> None:
    """Ask the process to end; after `grace_s` seconds kill it, with its whole group if it leads one. Returns when it
    is gone."""
    if not process.running:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, ask)
    if not wait_until(lambda: not process.running, grace_s):
        with contextlib.suppress(ProcessLookupError):
            # What a killed parent left leads no group: the group's number is the parent's, who is gone.
            leads = os.getpgid(process.pid) == process.pid
            (os.killpg if leads else os.kill)(process.pid, signal.SIGKILL)
        wait_until(lambda: not process.running, grace_s)


def marked(stack: Path) -> Iterator[Process]:
    """Every process that carries the mark of `stack`, so also what a lost state or a killed parent left."""
    for candidate in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if candidate.environ().get(STACK_VARIABLE) == str(stack):
                process = Process.of(candidate.pid)
                if process is not None:
                    yield process


def ancestors(process: Process) -> list[int]:
    """The pids above a process, its parent first."""
    try:
        return [parent.pid for parent in psutil.Process(process.pid).parents()]
    except psutil.Error:
        return []


def family_memory(process: Process) -> int:
    """Bytes of memory of a process and all below it. Shared pages count once where the system can tell (Linux)."""
    total = 0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(process.pid)
        for member in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                memory = member.memory_full_info()
                total += getattr(memory, "pss", memory.rss)
    return total


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll until `condition` holds (True) or `timeout_s` seconds have passed (False)."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def free_port(preferred: int | None = None, *, within_s: float = 0.0) -> int:
    """A TCP port on loopback nobody listens on: `preferred` if it is free or becomes so within `within_s` seconds,
    else one the system picks."""
    if preferred is not None and wait_until(lambda: _bound(preferred) is not None, within_s):
        return preferred
    port = _bound(0)
    if port is None:
        raise StartError("No TCP port is free on 127.0.0.1.")
    return port


def _bound(port: int) -> int | None:
    """The port that a socket got which asked for this one (0: any), and which is closed again; None if it is taken."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return None
        return int(probe.getsockname()[1])


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, for the message of an error."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16_384))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


def _group_of(user: str | None) -> int | None:
    if user is None:
        return None
    import pwd

    return pwd.getpwnam(user).pw_gid


def _die_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
