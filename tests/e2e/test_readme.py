"""Every command of the README, run as it stands, by somebody who has just got the code."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import REPOSITORY
from tests.sharing import SLOWER

README = (REPOSITORY / "README.md").read_text("utf-8")
MOVED_ON_S = 90.0 * SLOWER
"""How long an answer may take to become what the README shows: events need a moment, machines differ."""
BLOCK_S = 150.0 * SLOWER
"""Longest time of one block, on a machine that has more to do."""
CHANGING = {"as_of", "on", "since", "effective_at", "version"}
"""Fields that no two runs share; an account's version may count a timer."""
NUMBER = r"\d[\d,.:-]*"
OURS = {"KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "MIGRATION_DATABASE_URL", "LOCAL_SERVERS"}
MAKES = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".local", "build", ".*_cache", ".hypothesis", "__pycache__")


class Block(NamedTuple):
    """A fenced block: its language, and what is in it."""

    language: str
    text: str


def blocks_of(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)]


BLOCKS = blocks_of(README)


class Checkout(NamedTuple):
    """A copy of the code, whose stack is its own."""

    directory: Path

    def shell(self, script: str) -> str:
        """Run a block to its good end in a shell of its own; what it printed."""
        code, printed = self.tried(script)
        assert code == 0, f"{script}\n{printed}"
        return printed

    def tried(self, script: str) -> tuple[int, str]:
        """Run a block; its exit code and what it printed."""
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", script],
            cwd=self.directory,
            env={name: value for name, value in os.environ.items() if name not in OURS | MAKES} | {"COLUMNS": "120"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BLOCK_S,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def checkout(usual_ports: None) -> Iterator[Checkout]:
    """The code in a directory of its own, with these tests' packages; what it started ends with it."""
    for tool in ("make", "curl", "bash"):
        if shutil.which(tool) is None:
            pytest.fail(f"the README asks for {tool}, which is not here: install it")
    # Not pytest's tmp_path: that is closed to the system user that PostgreSQL runs as under root.
    directory = Path(tempfile.mkdtemp(prefix="points-ledger-readme-"))
    directory.chmod(0o711)
    shutil.copytree(REPOSITORY, directory, ignore=LEFT_OUT, dirs_exist_ok=True)
    directory.chmod(0o711)
    # An environment that is there already: nothing is fetched, and nothing of the real one can be changed.
    environment = directory / ".venv"
    environment.mkdir()
    for part in Path(sys.prefix).iterdir():
        (environment / part.name).symlink_to(part)
    (environment / ".requirements").unlink(missing_ok=True)
    (environment / ".requirements").touch()
    yield Checkout(directory)
    subprocess.run([sys.executable, "-m", "deploy.local", "reset"], cwd=directory, check=False, capture_output=True)
    shutil.rmtree(directory, ignore_errors=True)


def test_every_command_does_what_the_readme_says(checkout: Checkout) -> None:
    printed = ""
    for block, following in pairwise([*BLOCKS, Block("", "")]):
        match block.language:
            case "sh" if block.text.strip() == "make test":
                continue  # which runs this very test
            case "sh" if following.language == "json":
                assert eventually(checkout, block.text, json.loads(following.text))
            case "sh":
                printed = checkout.shell(block.text)
            case "text":
                for line in lines_shown(block.text):
                    assert re.search(line, squeezed(printed)), f"{line}\n\nis not in\n\n{printed}"
            case "python":
                name = block.text.partition("\n")[0].removeprefix("# ")
                (checkout.directory / name).write_text(block.text)
            case _:
                pass


def test_the_readme_names_no_target_that_the_makefile_lacks() -> None:
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", README, re.MULTILINE))
    assert {"run", "test"} <= named
    assert named <= set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


def eventually(checkout: Checkout, script: str, expected: dict[str, Any]) -> bool:
    """Whether the answer becomes what is shown; events take a moment."""
    gives_up_at = time.monotonic() + MOVED_ON_S
    while True:
        code, printed = checkout.tried(script)
        if code == 0 and steady(json.loads(printed)) == steady(expected):
            return True
        assert time.monotonic() < gives_up_at, (
            f"{script}\n{printed}\n{checkout.tried('make status; tail .local/logs/*')[1]}"
        )
        time.sleep(0.2)


def steady(answer: Any) -> Any:
    """An answer without what differs from run to run."""
    if isinstance(answer, dict):
        return {name: steady(value) for name, value in answer.items() if name not in CHANGING}
    if isinstance(answer, list):
        return [steady(value) for value in answer]
    return answer


def lines_shown(text: str) -> Iterator[str]:
    """The lines of an output that the README shows, as patterns in which every number may be another; … cuts."""
    for line in text.splitlines():
        if expected := squeezed(line).removesuffix("…").rstrip():
            yield NUMBER.join(re.escape(words) for words in re.split(NUMBER, expected))


def squeezed(text: str) -> str:
    """Text with single blanks, so that it does not matter where a terminal breaks lines and how wide its cells are."""
    return re.sub(r"[\s─━]+", " ", text).strip()
