"""What the workers of one service know of each other: health and metrics, a file each, written once a second.

The workers share a port, so a request may reach any of them. Each worker writes its state and its metrics to a file in
a shared directory, and the one that is asked answers for all. Counting stays private to a process and costs no lock.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest

from services.kit.metrics import REGISTRY
from services.kit.part import State

SILENT_SECONDS: Final = 10.0
"""A worker whose page is older is not ready: its event loop hangs, or it is gone."""
_LOCK: Final = "owner.lock"


class _Series(msgspec.Struct, array_like=True):
    name: str
    labels: dict[str, str]
    value: float


class _Family(msgspec.Struct, array_like=True):
    name: str
    help: str
    kind: str
    series: list[_Series]


class _Page(msgspec.Struct):
    at: float
    states: dict[str, State]
    families: list[_Family]


_decode: Final = msgspec.json.Decoder(_Page).decode


@contextmanager
def shared_directory(service: str) -> Iterator[Path]:
    """A temporary directory for the workers of a service; it is removed at the end.

    A parent that is killed cannot remove it, so each start removes the directories whose owners are gone. The owners
    hold a lock on a file in it: the parent, and the workers, which inherit the lock when they are forked. So the lock
    is free only when the last of them has ended, also where workers outlive their parent for some seconds.
    """
    prefix = f"loyalty-{service}-"
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*/{_LOCK}"):
        _remove_if_abandoned(left)
    directory = Path(tempfile.mkdtemp(prefix=prefix))
    # Locked before it has its name: nobody may find a lock that is free while its owner lives.
    unnamed = directory / f"{_LOCK}.new"
    with unnamed.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        unnamed.rename(directory / _LOCK)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def _remove_if_abandoned(lock: Path) -> None:
    """Removes the directory of a lock that nobody holds; one of another user's stays."""
    with suppress(OSError), lock.open("rb") as file:
        if os.fstat(file.fileno()).st_uid != os.geteuid():
            return
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(lock.parent, ignore_errors=True)


class WorkerStatus:
    """The states and metrics of a service's workers. Without a directory, a process knows of itself alone."""

    def __init__(self, directory: Path | None = None, worker: int = 0, workers: int = 1) -> None:
        self._directory = directory
        self._worker = worker
        self._workers = workers

    def publish(self, states: Mapping[str, State]) -> None:
        """Writes this worker's page for the others, atomically: they read the old one or the new one."""
        if self._directory is None or self._workers == 1:
            return
        page = _Page(time.time(), dict(states), _families())
        new = self._directory / f"{self._worker}.new"
        new.write_bytes(msgspec.json.encode(page))
        os.replace(new, self._page(self._worker))

    def states(self, own: Mapping[str, State]) -> dict[int, dict[str, State]]:
        """The states of every worker by its number. A worker that has not written lately has one state, `worker`."""
        found = {self._worker: dict(own)}
        for worker, page in self._others():
            if page is None or time.time() - page.at > SILENT_SECONDS:
                remedy = "Wait for its start, or restart the service."
                found[worker] = {"worker": State(False, "the worker has not reported its state lately", remedy)}
            else:
                found[worker] = page.states
        return dict(sorted(found.items()))

    def exposition(self) -> bytes:
        """The metrics of all workers in Prometheus' text format, each series with its worker."""
        pages = [(self._worker, _families())]
        pages += [(worker, page.families) for worker, page in self._others() if page is not None]
        return generate_latest(_Collected(_merged(pages)))

    def _page(self, worker: int) -> Path:
        assert self._directory is not None
        return self._directory / f"{worker}.json"

    def _others(self) -> Iterable[tuple[int, _Page | None]]:
        if self._directory is None:
            return
        for worker in range(self._workers):
            if worker != self._worker:
                try:
                    yield worker, _decode(self._page(worker).read_bytes())
                except (OSError, msgspec.DecodeError):
                    yield worker, None


def _families() -> list[_Family]:
    return [
        _Family(m.name, m.documentation, m.type, [_Series(s.name, dict(s.labels), s.value) for s in m.samples])
        for m in REGISTRY.collect()
    ]


def _merged(pages: Iterable[tuple[int, list[_Family]]]) -> list[Metric]:
    merged: dict[str, Metric] = {}
    for worker, families in pages:
        for family in families:
            metric = merged.get(family.name)
            if metric is None:
                metric = merged[family.name] = Metric(family.name, family.help, family.kind)
            for series in family.series:
                metric.add_sample(series.name, {**series.labels, "worker": str(worker)}, series.value)
    return list(merged.values())


class _Collected(CollectorRegistry):
    """A registry of families that were collected before."""

    def __init__(self, families: list[Metric]) -> None:
        super().__init__()
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families
