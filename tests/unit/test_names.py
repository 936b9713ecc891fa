"""One word for one thing: names that were replaced by the field's words do not come back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

OLD: dict[str, str] = {
    "Told": "MemberInput",
    "TierTold": "TierHistoryReceived",
    "ProfileTold": "ProfileUpdated",
    "tell": "apply_fact, or publish, receive, send",
    "telling": "revision, lines_version, report",
    "tellings": "reports",
    "Telling": "Report",
    "Purse": "PointsAccount",
    "Moves": "Posting",
    "carry_out": "post",
    "judge": "assess",
    "Judgement": "OrderAssessment",
    "Judged": "OrderAssessment",
    "fate": "status",
    "Fate": "status",
    "book_at_once": "book_optimistically",
    "write_unless_moved": "write_if_unchanged",
    "move_accounts": "compare_and_set_accounts",
    "Misplaced": "Misrouted",
    "letter": "message",
    "letters": "internal_messages",
    "announce": "render_facts",
    "shown": "to_json",
    "says": "describe",
    "Lane": "ShardWorker",
    "Board": "WorkerStatus",
    "Groundwork": "Upkeep",
    "Coalesced": "BatchLoader",
    "Replica": "Replay",
    "is_away": "is_unavailable",
    "given": "input_, granted, public_id",
    "Programs": "ProgramVersions, ProgramFollower",
    "Reason": "AwardReason, RefusalReason",
    "MadeUp": "StreakRepair",
    "MakeUp": "RepairStreak",
    "made_up": "repaired",
    "make_up": "repair",
    "made_up_days": "streak_repairs",
}
"""Old names, and what to say instead: names of modules, classes, functions and constants of modules."""

OLD_IN_LEDGER: dict[str, str] = {
    "claim": "claw_back",
    "Claim": "Clawback",
    "Taken": "LotAllocation",
    "room": "uncovered",
    "Turn": "TimelineChange",
    "Step": "Band",
    "Tariff": "EarnRate",
    "make_tariff": "make_earn_rate",
}
"""The same where points are booked; elsewhere these words may mean something else."""

OLD_PARTS: dict[str, str] = {"PATIENCE": "TIMEOUT", "MOST_": "MAX_", "LEAST_": "MIN_", "LARGEST_": "MAX_"}
"""The same for the beginnings of constants."""

KEPT: dict[tuple[str, str], str] = {
    (
        "schemas/program/earning.py",
        "MakeUp",
    ): "the option `make_up` of a program; its JSON Schema has this name",
}
"""(file, name) that stay as they are, and why: a class that bears the name of a published event type or option."""

LEDGER = ("services/ledger/", "tests/model/", "tests/unit/ledger_", "tests/unit/test_ledger_")

FILES = sorted(
    file for room in ("services", "schemas", "deploy", "tests") for file in (REPOSITORY / room).rglob("*.py")
)


def names_of(file: Path) -> Iterator[str]:
    """The module's own name, its classes and functions at any depth, and the constants at its top."""
    yield file.stem.removeprefix("test_")
    tree = ast.parse(file.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
    for node in tree.body:
        for target in node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]:
            if isinstance(target, ast.Name):
                yield target.id


def instead_of(name: str, path: str) -> str | None:
    """What to say instead of an old name; None if it is none."""
    bare = name.lstrip("_")
    if path.startswith(LEDGER) and bare in OLD_IN_LEDGER:
        return OLD_IN_LEDGER[bare]
    for old, new in OLD_PARTS.items():
        if bare.startswith(old):
            return new + bare.removeprefix(old)
    return OLD.get(bare)


@pytest.mark.parametrize("room", ["services", "schemas", "deploy", "tests"])
def test_no_old_name_is_left(room: str) -> None:
    found = [
        f"{path}: {name} (say {new})"
        for file in FILES
        for path in [file.relative_to(REPOSITORY).as_posix()]
        if path.startswith(f"{room}/")
        for name in names_of(file)
        if (new := instead_of(name, path)) and (path, name) not in KEPT
    ]
    assert not found, "\n".join(found)


def test_each_exception_is_still_there() -> None:
    assert not [(path, name) for path, name in KEPT if name not in set(names_of(REPOSITORY / path))]
