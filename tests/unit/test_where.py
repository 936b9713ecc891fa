"""docs/where.md is true: its two longest lists are followed in a copy of the tree, block by block."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest

from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "where.md"
BLOCK = re.compile(
    r"^ *(?:In `(?P<file>[^`]+)`, (?P<place>after|before|instead of) `(?P<line>[^\n]+)`|New file `(?P<new>[^`]+)`)\n\n"
    r"(?P<block> *```\w+\n.*?\n *```)$",
    re.MULTILINE | re.DOTALL,
)
PASSED_OVER = """
from schemas.events import read_event
from schemas.generate.examples import EXAMPLES
from schemas.topics import BY_NAME
from services.ledger.events.inbound import input_of

raw = (EXAMPLES / "commerce.member.surveyed.v1.json").read_bytes()
headers = [("content-type", b"application/cloudevents+json")]
event = read_event(raw, headers, b"m-1001", types=BY_NAME["commerce.activities.v1"].accepted)
print(event["data"], input_of(event, "CNY", 2))
"""
NEEDED = ("services", "schemas", "deploy", "tests", "docs/reference", "pyproject.toml")


class Step(NamedTuple):
    """A block of the page, and where it goes: a new file, or beside or instead of a line of a file."""

    file: str
    place: str
    line: str
    text: str


def steps(heading: str) -> Iterator[Step]:
    """The blocks under a heading of the page, in order."""
    _, _, section = PAGE.read_text("utf-8").partition(f"\n## {heading}\n")
    for match in BLOCK.finditer(section.partition("\n## ")[0]):
        text = dedent(match["block"]).partition("\n")[2].rpartition("\n")[0]
        yield Step(match["file"] or match["new"], match["place"] or "new", match["line"] or "", text)


def follow(step: Step, root: Path) -> None:
    """Put a block where the page says."""
    path = root / step.file
    if step.place == "new":
        assert not path.exists(), f"{step.file} exists already"
        path.write_text(step.text + "\n", "utf-8")
        return
    lines = path.read_text("utf-8").splitlines()
    places = [number for number, line in enumerate(lines) if line.strip().startswith(step.line)]
    assert len(places) == 1, f"{step.file} has {len(places)} lines that begin: {step.line}"
    at = places[0]
    lines[at + (step.place == "after") : at + (step.place != "before")] = step.text.splitlines()
    path.write_text("\n".join(lines) + "\n", "utf-8")


def run(root: Path, *arguments: str) -> str:
    """Run a module of the copy; what it printed. It must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}{done.stderr}"
    return done.stdout


def check(root: Path, changed: list[Step]) -> None:
    """What every change has to pass, as far as it takes no server and not long."""
    files = sorted({step.file for step in changed if step.file.endswith(".py")})
    run(root, "ruff", "format", "-q", *files)
    run(root, "ruff", "check", *files)
    run(root, "schemas", "generate")
    run(root, "schemas", "check")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the lists touch, to which the event type is added as the page says."""
    root = tmp_path_factory.mktemp("where")
    for name in NEEDED:
        source, target = REPOSITORY / name, root / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "golden"))
        else:
            shutil.copy(source, target)
    blocks = list(steps("An event type"))
    assert len(blocks) == 4
    for step in blocks:
        follow(step, root)
    check(root, blocks)
    run(root, "schemas", "publish", "commerce.member.surveyed.v1")
    return root


def test_an_event_type_is_added_as_the_page_says(copy: Path) -> None:
    assert (copy / "schemas" / "generated" / "events" / "commerce.member.surveyed.v1.json").exists()
    assert "commerce.member.surveyed.v1" in (copy / "docs" / "reference" / "events.md").read_text("utf-8")
    assert (copy / "schemas" / "published" / "commerce.member.surveyed.v1.json").exists()
    (copy / "passed_over.py").write_text(PASSED_OVER, "utf-8")
    assert run(copy, "passed_over") == "{'survey_id': 's-7'} None\n"


def test_an_earning_rule_is_added_as_the_page_says(copy: Path) -> None:
    blocks = list(steps("An earning rule"))
    assert len(blocks) > 15
    for step in blocks:
        follow(step, copy)
    check(copy, blocks)
    assert "1 passed" in run(copy, "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/test_ledger_surveys.py")
