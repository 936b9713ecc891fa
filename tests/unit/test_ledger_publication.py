"""What the publication of a program version asks of its times."""

from __future__ import annotations

import pytest

from schemas import program
from schemas.program import content_hash
from services.kit.calendar import Micros, parse_rfc3339
from services.ledger.publication import NotPublished, PublishedVersion, plan
from tests.conftest import REPOSITORY

DOCUMENT = program.load((REPOSITORY / "deploy" / "program.yaml").read_text("utf-8")).document()


def test_a_later_version_needs_ten_minutes_notice_to_the_microsecond() -> None:
    since = parse_rfc3339("2026-01-01T00:00:00Z")
    first = PublishedVersion(1, "example-shop", "2026.1", content_hash(DOCUMENT), since, "CNY")
    later = DOCUMENT | {"version": "2026.2", "effective_from": "2026-05-01T12:10:00+00:00"}
    noon = parse_rfc3339("2026-05-01T12:00:00Z")
    assert plan(later, [first], noon).number == 2
    with pytest.raises(NotPublished):
        plan(later, [first], Micros(noon + 1))
    assert plan(DOCUMENT, [first], noon).is_repeated
