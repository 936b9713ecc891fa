"""A publisher that is refused too often is named, and can make neither endless series nor endless memory."""

from __future__ import annotations

import orjson
import pytest

from services.kit import metrics
from services.kit.calendar import Micros
from services.kit.dead_letter import RefusalReason, Refused
from services.kit.kafka import Headers, Record, Shard
from services.kit.source_watch import MAX_SERIES, MAX_WATCHED, OTHER, UNKNOWN, SourceWatch, describe, source_of

REFUSED = Refused(RefusalReason.BROKEN_FIELD, "data", "broken")


def _record(source: str = "/shop", value: bytes | None = None, headers: Headers = ()) -> Record:
    body = orjson.dumps({"id": "e1", "source": source, "data": {}}) if value is None else value
    return Record("commerce.orders.v1", Shard(0), 1, Micros(0), b"m", body, headers)


def _count(watch: SourceWatch, source: str, *, fine: int = 0, refused: int = 0) -> None:
    bad = [_record(source) for _ in range(refused)]
    watch.add([*(_record(source) for _ in range(fine)), *bad], [(record, REFUSED) for record in bad])


@pytest.mark.parametrize(
    ("record", "source"),
    [
        (_record("/shop/1"), "/shop/1"),
        (_record(value=b'{"source" : "urn:shop:2", broken'), "urn:shop:2"),
        (_record(value=b"{}", headers=(("ce_source", b"/shop/3"),)), "/shop/3"),
        (_record(value=b"nonsense"), UNKNOWN),
        (_record(value=b'{"source": "' + b"x" * 101 + b'"}'), UNKNOWN),
        (_record(value=b'{"source": "Anna, +12025550101"}'), UNKNOWN),
        (_record(value=b"{}", headers=(("ce_source", b"\xff"),)), UNKNOWN),
    ],
)
def test_mend_c01_a_source_is_found_also_where_nothing_can_be_parsed(record: Record, source: str) -> None:
    assert source_of(record) == source


def test_mend_c01_more_than_5_percent_of_a_sources_last_1000_is_an_alarm_that_names_it() -> None:
    watch = SourceWatch()
    _count(watch, "/shop/1", refused=5)
    assert not watch.offenders(), "a source with few records is judged as if it had a hundred"
    _count(watch, "/shop/1", refused=1)
    assert describe(watch.offenders()) == "/shop/1 (6 of its last 6, lately broken_field)"
    _count(watch, "/shop/1", fine=950, refused=50)
    assert not watch.offenders(), "50 of the last 1,000 are 5 percent"
    alarms = metrics.counter("alarms_total", kind="source_refused")._value.get()
    _count(watch, "/shop/1", refused=1)
    _count(watch, "/shop/1", refused=1)
    assert [(each.source, each.refused, each.seen) for each in watch.offenders()] == [("/shop/1", 52, 1000)]
    assert metrics.counter("alarms_total", kind="source_refused")._value.get() == alarms + 1, "one alarm, not two"
    _count(watch, "/shop/2", fine=1000)
    assert len(watch.offenders()) == 1, "what others publish does not hide it"
    _count(watch, "/shop/1", fine=1000)
    assert not watch.offenders()


def test_mend_c01_a_publisher_cannot_make_endless_series_or_windows() -> None:
    watch = SourceWatch()
    before = len(list(metrics.REGISTRY.collect()))
    for n in range(3 * MAX_WATCHED):
        _count(watch, f"/shop/{n}", refused=6)
    series = {
        sample.labels["source"]
        for family in metrics.REGISTRY.collect()
        if family.name == "refused_by_source"
        for sample in family.samples
        if sample.name.endswith("_total")
    }
    assert OTHER in series
    assert len(series) <= MAX_SERIES + 10, "those of this watch, and a few of other tests"
    assert len(list(metrics.REGISTRY.collect())) == before
    assert len(watch.offenders()) == MAX_WATCHED
    assert describe(watch.offenders()).endswith(f" and {MAX_WATCHED - 5} more")
