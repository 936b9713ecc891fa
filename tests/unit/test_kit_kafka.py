"""A member's shard is the partition that Kafka's own partitioners pick."""

from __future__ import annotations

import ast
import random

import pytest
from aiokafka.partitioner import DefaultPartitioner

from services.kit.kafka import murmur2, partition_of, shard_of
from tests.conftest import REPOSITORY

JAVA = {
    # From the tests of Kafka's Java client (Utils.murmur2), as signed integers.
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("data", "signed"), JAVA.items())
def test_murmur2_is_that_of_the_java_client(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed & 0xFFFFFFFF


def test_the_partition_is_the_one_that_aiokafka_picks() -> None:
    draw = random.Random(7)
    pick = DefaultPartitioner()
    for partitions in (1, 3, 16, 48):
        everything = list(range(partitions))
        for _ in range(500):
            key = draw.randbytes(draw.randrange(65))
            assert partition_of(key, partitions) == pick(key, everything, everything)


def test_a_shard_is_the_partition_of_the_member_id() -> None:
    for n in range(200):
        member = f"会员-{n}"
        assert shard_of(member, 16) == partition_of(member.encode(), 16)
        # With twice the shards each splits in two, so S can be multiplied.
        assert shard_of(member, 32) % 16 == shard_of(member, 16)


def test_mend_b05_every_consumer_of_ours_reads_what_is_committed() -> None:
    found = 0
    for path in [*REPOSITORY.glob("services/**/*.py"), *REPOSITORY.glob("deploy/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "AIOKafkaConsumer":
                found += 1
                assert "READ_COMMITTED" in ast.unparse(node), f"{path}:{node.lineno} sets no isolation_level"
    assert found >= 4


def test_mend_b03_every_producer_of_ours_waits_for_all_replicas() -> None:
    found = 0
    for path in [*REPOSITORY.glob("services/**/*.py"), *REPOSITORY.glob("deploy/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "AIOKafkaProducer":
                found += 1
                assert "acks='all'" in ast.unparse(node), f"{path}:{node.lineno} does not wait"
    assert found >= 2
