"""How a run is shared out among processes, each of which has servers of its own (pytest-xdist)."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import Any, Final

import psutil
import pytest
from xdist.scheduler import LoadScopeScheduling

RINGS: Final = ("chaos", "e2e", "simulation", "integration", "unit", "contract", "bench")
"""In the order in which they begin: what takes longest first, so that all processes end at about the same time."""
WHOLE: Final = frozenset({"chaos", "e2e"})
"""Rings whose tests share one deployment, and so one process. Of the others each file is a share."""
WORKER_MB: Final = 2_500
"""Memory that a process may need with its servers, and a deployment beside them."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many processes `-n auto` means; 0: pytest's own alone, where a few tests were asked for."""
    if config.option.keyword or config.option.markexpr or config.option.lf or _is_one_file(config.args):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory_mb = psutil.virtual_memory().available // 2**20
    workers: int = min(cores + 1, memory_mb // WORKER_MB)  # tests with servers wait most of the time
    return workers if workers > 1 else 0


def _is_one_file(arguments: list[str]) -> bool:
    files = {argument.partition("::")[0] for argument in arguments}
    return len(files) == 1 and next(iter(files)).endswith(".py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Shares in the order of `RINGS`."""
    config.option.loadscopereorder = False
    return Shares(config, log)


class Shares(LoadScopeScheduling):  # type: ignore[misc] # which is not typed
    """Files, or whole rings, each to the next process that is free."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)


def share_of(nodeid: str) -> str:
    """What is run by one process: the test's file, or its ring."""
    path = PurePosixPath(nodeid.partition("::")[0])
    return path.parts[1] if path.parts[1] in WHOLE else str(path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort tests by ring, those of no ring first."""
    items.sort(key=lambda item: RINGS.index(ring) if (ring := item.nodeid.split("/")[1]) in RINGS else -1)
