"""Whoever is asked answers for all workers."""

from __future__ import annotations

import os
import time
import typing
from pathlib import Path

import msgspec

from services.kit import metrics, worker_status
from services.kit.part import State
from services.kit.worker_status import WorkerStatus


def test_every_metric_name_is_declared_once() -> None:
    assert set(typing.get_args(metrics.MetricName)) == set(metrics._DECLARED)


def test_the_states_of_all_workers_and_one_that_is_silent(tmp_path: Path) -> None:
    first, second = WorkerStatus(tmp_path, 0, 3), WorkerStatus(tmp_path, 1, 3)
    second.publish({"database": State(False, "away", "bring it back", {"tries": 3})})
    states = first.states({"database": State(True)})
    assert states[0]["database"].ok
    assert states[1]["database"] == State(False, "away", "bring it back", {"tries": 3})
    assert not states[2]["worker"].ok  # it has not started yet

    page = tmp_path / "1.json"
    old = msgspec.json.decode(page.read_bytes())
    old["at"] = time.time() - worker_status.SILENT_SECONDS - 1
    page.write_bytes(msgspec.json.encode(old))
    assert "worker" in first.states({})[1]


def test_the_metrics_of_two_processes_are_those_of_both(tmp_path: Path) -> None:
    metrics.count("swept_total", 5)
    own = metrics.REGISTRY.get_sample_value("swept_total") or 0.0
    child = os.fork()
    if child == 0:
        metrics.count("swept_total", 37)
        metrics.observe("transaction_seconds", 0.02)
        WorkerStatus(tmp_path, 1, 2).publish({})
        os._exit(0)
    os.waitpid(child, 0)
    text = WorkerStatus(tmp_path, 0, 2).exposition().decode()
    assert f'swept_total{{worker="0"}} {own}' in text
    assert f'swept_total{{worker="1"}} {own + 37}' in text
    assert text.count("# TYPE swept_total counter") == 1
    assert 'transaction_seconds_bucket{le="0.025",worker="1"}' in text
    assert 'process_resident_memory_bytes{worker="1"}' in text
