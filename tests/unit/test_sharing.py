"""Which tests run in one process, and when there is more than one."""

from __future__ import annotations

import pytest

from tests.conftest import REPOSITORY
from tests.sharing import ORDER, WHOLE, share_of


@pytest.mark.parametrize("part", ORDER)
def test_what_the_order_names_is_there(part: str) -> None:
    assert (REPOSITORY / part).exists()
    assert (REPOSITORY / part).is_dir() == part.endswith("/")


def test_the_order_names_every_ring() -> None:
    rings = {file.relative_to(REPOSITORY).parts[1] for file in (REPOSITORY / "tests").glob("*/test_*.py")}
    assert {f"tests/{ring}/" for ring in rings} <= set(ORDER)


def test_rings_with_one_deployment_are_whole_and_others_are_shared_out_by_file() -> None:
    assert set(ORDER) >= WHOLE
    assert share_of("tests/chaos/test_load.py::test_a_power_cut[a::b]") == "tests/chaos/"
    assert share_of("tests/e2e/test_due.py::test_T8") == "tests/e2e/"
    assert share_of("tests/e2e/test_readme.py::test_every_command") == "tests/e2e/test_readme.py"
    assert share_of("tests/unit/test_docs.py::test_links[README.md]") == "tests/unit/test_docs.py"
