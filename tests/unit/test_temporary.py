"""What a killed test process leaves behind is removed at the next start, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from tests.conftest import REPOSITORY
from tests.temporary import PREFIX, own_directory, remove_abandoned

OWNER = """
import subprocess, sys, time
from pathlib import Path
from tests.temporary import own_directory
with own_directory(Path(sys.argv[1])) as directory:
    (directory / "data").mkdir()
    print(directory, subprocess.Popen(["sleep", "600"]).pid, flush=True)
    time.sleep(600)
"""


def test_all_that_a_process_puts_into_temporary_files_is_in_its_directory_and_gone_with_it(tmp_path: Path) -> None:
    before = tempfile.gettempdir(), os.environ.get("TMPDIR")
    with own_directory(tmp_path) as directory:
        assert Path(tempfile.mkdtemp()).parent == directory
        assert os.environ["TMPDIR"] == str(directory)
    assert not list(tmp_path.iterdir())
    assert (tempfile.gettempdir(), os.environ.get("TMPDIR")) == before


def test_a_directory_is_left_alone_while_its_owner_lives_and_removed_when_that_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        name, pid = owner.stdout.readline().split()
        started = psutil.Process(int(pid))
        try:
            assert remove_abandoned(tmp_path) == []
            assert (Path(name) / "data").is_dir()
            assert started.is_running()
            owner.kill()
            owner.wait()
            assert remove_abandoned(tmp_path) == [Path(name)]
            assert not list(tmp_path.iterdir())
            assert not started.is_running() or started.status() == psutil.STATUS_ZOMBIE
        finally:
            owner.kill()


def test_what_has_no_owner_to_tell_of_is_left_alone(tmp_path: Path) -> None:
    strange = tmp_path / f"{PREFIX}of-another-version"
    strange.mkdir()
    assert remove_abandoned(tmp_path) == []
    assert strange.is_dir()


def test_only_what_names_the_directory_is_ended(tmp_path: Path) -> None:
    abandoned = tmp_path / f"{PREFIX}abandoned"
    abandoned.mkdir()
    (abandoned / "owner").touch()
    of_it = os.environ | {"DATABASE_URL": f"postgresql:///x?host={abandoned}/socket"}
    with subprocess.Popen(["sleep", "600"], env=of_it) as service, subprocess.Popen(["sleep", "600"]) as another:
        try:
            assert remove_abandoned(tmp_path) == [abandoned]
            assert service.poll() is not None
            assert another.poll() is None
        finally:
            service.kill()
            another.kill()
