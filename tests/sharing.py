"""How a run is shared out among processes, each of which has servers of its own (pytest-xdist)."""

from __future__ import annotations

import os
from typing import Any, Final

import psutil
import pytest
from xdist.scheduler import LoadScopeScheduling

ORDER: Final = (
    "tests/e2e/test_shop_replay.py",
    "tests/chaos/",
    "tests/e2e/test_readme.py",
    "tests/e2e/",
    "tests/simulation/",
    "tests/integration/",
    "tests/unit/test_fold_properties.py",
    "tests/unit/test_model_properties.py",
    "tests/unit/test_fold_algebra_properties.py",
    "tests/unit/",
    "tests/contract/",
    "tests/bench/",
)
"""What takes longest begins first, so that all processes end at about the same time. The first that fits counts."""
WHOLE: Final = frozenset({"tests/chaos/", "tests/e2e/"})
"""Their tests share one deployment, and so one process. Of the others each file is a share."""
WORKER_MB: Final = 2_500
"""Memory that a process may need with its servers, and a deployment beside them."""

SLOWER: Final = 3
"""How much longer than alone on a machine something may take before a test gives up waiting for it."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many processes `-n auto` means; 0: pytest's own alone, where a few tests were asked for."""
    if config.option.keyword or config.option.markexpr or config.option.lf or _is_one_file(config.args):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory_mb = psutil.virtual_memory().available // 2**20
    workers: int = min(2 * cores, memory_mb // WORKER_MB)  # tests with servers wait half of the time
    return workers if workers > 1 else 0


def _is_one_file(arguments: list[str]) -> bool:
    files = {argument.partition("::")[0] for argument in arguments}
    return len(files) == 1 and next(iter(files)).endswith(".py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Hands out shares in the order of the tests."""
    config.option.loadscopereorder = False
    return Shares(config, log)


class Shares(LoadScopeScheduling):  # type: ignore[misc] # which is not typed
    """The next share goes to the next process that is free."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)


def share_of(nodeid: str) -> str:
    """What one process runs in one go: the test's file, or more."""
    part = next((part for part in ORDER if nodeid.startswith(part)), "")
    return part if part in WHOLE else nodeid.partition("::")[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by `ORDER`, what it does not name first."""
    items.sort(key=lambda item: next((n for n, part in enumerate(ORDER) if item.nodeid.startswith(part)), -1))
