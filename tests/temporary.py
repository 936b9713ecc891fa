"""One directory for all temporary files of a test process; what a killed one left is removed by the next.

The owner holds a lock on a file in the directory as long as it lives, however it ends, so whoever can take the lock
knows that the directory is nobody's. Servers and services of the owner have the directory in their environment
(`TMPDIR`, the database's socket, the keys), by which those that outlived it are found and ended.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil

PREFIX: Final = "points-ledger-tests-"
_LOCK: Final = "owner"
_ENDED_WITHIN_S: Final = 10.0


@contextmanager
def own_directory(root: Path | None = None) -> Iterator[Path]:
    """Where this process and all it starts keep temporary files meanwhile; gone afterwards.

    It is below `root`, by default where temporary files go on this system.
    """
    root = Path(tempfile.gettempdir()) if root is None else root
    remove_abandoned(root)
    directory, lock = _make(root)
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = str(directory)
    try:
        yield directory
    finally:
        tempfile.tempdir = before[0]
        os.environ.pop("TMPDIR")
        if before[1] is not None:
            os.environ["TMPDIR"] = before[1]
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def remove_abandoned(root: Path) -> list[Path]:
    """Remove the directories below `root` whose owner has died, and end what it had started; which they were."""
    removed = []
    for directory in root.glob(f"{PREFIX}*"):
        lock = _locked(directory)
        if lock is None:
            continue
        _end_processes_of(directory)
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)
        removed.append(directory)
    return removed


def _make(root: Path) -> tuple[Path, int]:
    """A new directory, and the lock that says it has an owner."""
    while True:
        # Not pytest's tmp_path: that is closed to the system user that PostgreSQL runs as under root.
        directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
        directory.chmod(0o711)
        with suppress(FileNotFoundError):
            lock = os.open(directory / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Another start may have found it between the two, without an owner yet, and removed it.
            if (directory / _LOCK).exists():
                return directory, lock
            os.close(lock)


def _locked(directory: Path) -> int | None:
    """The lock of a directory whose owner has died; None if the owner lives, or never said that it was one."""
    try:
        lock = os.open(directory / _LOCK, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _end_processes_of(directory: Path) -> None:
    """`kill -9` of what has the directory in its environment; returns when it is gone."""
    left = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if any(str(directory) in value for value in process.environ().values()):
                process.send_signal(signal.SIGKILL)
                left.append(process)
    psutil.wait_procs(left, timeout=_ENDED_WITHIN_S)
