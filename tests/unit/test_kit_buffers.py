"""Buffers and batches are bounded in bytes as well as in records."""

from __future__ import annotations

from types import SimpleNamespace

from services.kit.buffers import BATCH_BYTES, BUFFER_BYTES, Buffers
from services.kit.calendar import Micros
from services.kit.consumer import READ_BYTES, READ_SLICE, _next_slice
from services.kit.kafka import Record, Shard

LARGE = 213 * 1024


def _records(topic: str, number: int, size: int, start: int = 0) -> list[Record]:
    return [Record(topic, Shard(0), n, Micros(n), None, b"x" * size) for n in range(start, start + number)]


def test_mend_c03_a_topic_is_not_fetched_further_when_its_bytes_are_enough() -> None:
    buffers = Buffers(["a", "b"], 1000, lambda topic: False)
    buffers.add("a", _records("a", 9, LARGE))
    assert buffers.topics_to_fetch() == ["a", "b"]
    buffers.add("a", _records("a", 1, LARGE, start=9))
    assert 10 * LARGE > BUFFER_BYTES
    assert buffers.topics_to_fetch() == ["b"]
    buffers.drop(buffers.next_batch(1))
    assert buffers.topics_to_fetch() == ["a", "b"]
    buffers.clear()
    assert (len(buffers), buffers.oldest(), buffers.topics_to_fetch()) == (0, None, ["a", "b"])


def test_mend_c03_a_batch_ends_before_its_bytes_are_too_many() -> None:
    buffers = Buffers(["a"], 1000, lambda topic: False)
    buffers.add("a", _records("a", 200, LARGE))
    sizes = []
    while batch := buffers.next_batch(1000):
        sizes.append(len(batch))
        buffers.drop(batch)
    assert sum(sizes) == 200
    assert max(sizes) == BATCH_BYTES // LARGE == 9


def test_mend_c03_a_record_larger_than_a_batch_is_a_batch_of_its_own() -> None:
    buffers = Buffers(["a", "b"], 1000, lambda topic: False)
    buffers.add("a", _records("a", 2, BATCH_BYTES + 1))
    buffers.add("b", _records("b", 1, 10, start=5))
    taken = []
    while batch := buffers.next_batch(1000):
        taken.append([(record.topic, record.offset) for record in batch])
        buffers.drop(batch)
    assert taken == [[("a", 0)], [("a", 1)], [("b", 5)]]


def test_small_records_make_batches_as_large_as_ever() -> None:
    buffers = Buffers(["a"], 1000, lambda topic: False)
    buffers.add("a", _records("a", 1500, 700))
    assert len(buffers.next_batch(1000)) == 1000


def test_mend_c03_after_large_records_a_read_takes_few() -> None:
    def read(number: int, size: int) -> list[list[SimpleNamespace]]:
        return [[SimpleNamespace(value=b"x" * size) for _ in range(number)]]

    assert _next_slice(read(250, 700)) == READ_SLICE
    assert _next_slice([]) == READ_SLICE
    assert _next_slice(read(100, LARGE)) == READ_BYTES // LARGE == 9
    assert _next_slice(read(1, 3 * READ_BYTES)) == 1
