"""Ready and well are two questions."""

from __future__ import annotations

import pytest

from services.kit.health import Health
from services.kit.part import State
from services.kit.worker_status import WorkerStatus

WELL = State(True)
BROKEN = State(False, "it hides hunter2", "mend it")


def _health(**states: State) -> Health:
    health = Health(WorkerStatus())
    health._states.update(states)
    return health


@pytest.mark.parametrize("part", ["consumer", "brokers", "relay", "sweeper"])
def test_mend_c01_what_no_request_needs_takes_no_request_away(part: str) -> None:
    health = _health(**{"database": WELL, "program": WELL, "api": WELL, part: BROKEN})
    assert health.ready() == (True, {"status": "ready", "lacking": []})
    ok, document = health.well(details=True)
    assert (ok, document["status"], document["workers"]["0"][part]) == (False, "not well", BROKEN)


@pytest.mark.parametrize("part", ["database", "program"])
def test_mend_c01_readiness_names_what_is_lacking_and_no_more(part: str) -> None:
    health = _health(**{"database": WELL, "program": WELL, "consumer": BROKEN} | {part: BROKEN})
    assert health.ready() == (False, {"status": "not ready", "lacking": [part]})


def test_mend_c01_a_program_that_cannot_be_used_leaves_those_before_it() -> None:
    health = _health(database=WELL, program=State(False, "a version cannot be used", serves=True))
    assert health.ready()[0]
    assert not health.well(details=True)[0]
