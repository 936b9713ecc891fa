"""Which version of the program counts at a business time."""

from __future__ import annotations

import orjson
import pytest
from pydantic import SecretStr

from services.kit.calendar import NOT_YET, Micros
from services.kit.program import NoProgram, ProgramFollower, Version
from services.kit.settings import Settings


def _programs() -> ProgramFollower[dict[str, object]]:
    settings = Settings(database_url=SecretStr(""), kafka_bootstrap_servers="127.0.0.1:1")
    return ProgramFollower(settings, parse=dict)


def _version(name: str, effective_from: int, published_at: int = 0) -> Version[dict[str, object]]:
    return Version(name, f"sha256:{name}", Micros(effective_from), Micros(published_at), {"version": name})


def test_the_last_that_is_in_effect_counts_and_the_first_covers_what_was_before() -> None:
    programs = _programs()
    with pytest.raises(NoProgram):
        programs.current_at(NOT_YET)
    programs.add(_version("b", 200))
    programs.add(_version("a", 100))
    assert [programs.current_at(Micros(at)).version for at in (0, 99, 100, 199, 200, 10**15)] == [
        "a",
        "a",
        "a",
        "a",
        "b",
        "b",
    ]


def test_the_same_version_told_again_replaces_itself_and_tells_who_listens() -> None:
    programs = _programs()
    heard: list[str] = []
    programs.on_version(lambda version: heard.append(version.content_hash))
    programs.add(_version("a", 100))
    programs.add(_version("a", 100))
    assert len(programs.versions) == 1
    assert heard == ["sha256:a", "sha256:a"]


def test_of_two_from_the_same_instant_the_later_published_counts() -> None:
    programs = _programs()
    programs.add(_version("b", 100, published_at=2))
    programs.add(_version("a", 100, published_at=1))
    assert programs.current_at(Micros(100)).version == "b"


def test_a_version_that_cannot_be_parsed_is_kept_out_and_told() -> None:
    programs = _programs()
    programs.add(_version("a", 100))
    programs._take(orjson.dumps({"type": "loyalty.program.published.v1", "data": {"version": "b"}}))
    assert [version.version for version in programs.versions] == ["a"]
    assert not programs.state().ok
    assert "KeyError" in programs.state().detail
