"""Topics on a real broker: made once, checked for what correctness rests on."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.topics import ALL, Topic
from services.kit.health import BrokerCheck
from services.kit.topics import ONE_BROKER, PRODUCTION, TopicError, check, ensure_topics
from tests.integration.ledger_support import ledger_settings


@pytest.fixture
async def admin(kafka: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await client.start()
    yield client
    await client.close()


@pytest.fixture
def topics() -> dict[str, Topic]:
    """The topics of the contracts, under names of this test alone: deleting takes the broker a while."""
    prefix = f"test-{secrets.token_hex(4)}."
    return {topic.name: replace(topic, name=prefix + topic.name) for topic in ALL}


async def test_topics_are_made_once_and_then_found_as_they_must_be(
    kafka: str, admin: AIOKafkaAdminClient, topics: dict[str, Topic]
) -> None:
    wanted = list(topics.values())
    made = await ensure_topics(kafka, 4, wanted)
    assert sorted(made) == sorted(topic.name for topic in wanted)
    assert await ensure_topics(kafka, 4, wanted) == []
    assert await check(admin, 4, wanted) == []


async def test_two_starts_at_once_make_the_topics_once(kafka: str, topics: dict[str, Topic]) -> None:
    wanted = list(topics.values())
    made = await asyncio.gather(*(ensure_topics(kafka, 2, wanted) for _ in range(2)))
    assert sorted(itertools.chain(*made)) == sorted(topic.name for topic in wanted)


async def test_a_missing_topic_is_named_with_the_way_out(admin: AIOKafkaAdminClient, topics: dict[str, Topic]) -> None:
    orders = topics["commerce.orders.v1"]
    assert await check(admin, 4, [orders]) == [
        f"Topic {orders.name} does not exist; make it with `python -m services.kit.topics`."
    ]


async def test_other_partitions_than_shards_are_refused_and_not_changed(
    kafka: str, admin: AIOKafkaAdminClient, topics: dict[str, Topic]
) -> None:
    orders = topics["commerce.orders.v1"]
    await ensure_topics(kafka, 2, [orders])
    with pytest.raises(TopicError, match="has 2 partitions, not 4"):
        await ensure_topics(kafka, 4, [orders])
    assert await check(admin, 2, [orders]) == []


async def test_a_topic_whose_records_carry_the_publishers_time_is_refused(
    kafka: str, admin: AIOKafkaAdminClient, topics: dict[str, Topic]
) -> None:
    orders = topics["commerce.orders.v1"]
    settings = {"message.timestamp.type": "CreateTime"}
    await admin.create_topics([NewTopic(orders.name, 4, 1, topic_configs=settings)])
    with pytest.raises(TopicError, match=r"message\.timestamp\.type=CreateTime; set it to LogAppendTime"):
        await ensure_topics(kafka, 4, [orders])


async def test_an_uncompacted_program_topic_is_refused(
    kafka: str, admin: AIOKafkaAdminClient, topics: dict[str, Topic]
) -> None:
    program = topics["loyalty.program.v1"]
    await ensure_topics(kafka, 4, [replace(program, cleanup="delete")])
    assert await check(admin, 4, [program]) == [f"Topic {program.name} has cleanup.policy=delete; set it to compact."]


async def test_mend_b03_a_topic_is_made_as_durable_as_configured(
    kafka: str, admin: AIOKafkaAdminClient, topics: dict[str, Topic]
) -> None:
    internal = topics["loyalty.internal.v1"]
    with pytest.raises(TopicError, match=r"could not be made: .* It has to be on REPLICATION_FACTOR=3 brokers"):
        await ensure_topics(kafka, 4, [internal], durability=PRODUCTION)
    await ensure_topics(kafka, 4, [internal], durability=ONE_BROKER)
    assert await check(admin, 4, [internal], ONE_BROKER) == []


async def test_mend_b03_a_topic_that_is_less_durable_than_configured_is_told_with_the_way_out(
    kafka: str, admin: AIOKafkaAdminClient, topics: dict[str, Topic]
) -> None:
    internal = topics["loyalty.internal.v1"]
    await ensure_topics(kafka, 4, [internal])
    assert await check(admin, 4, [internal], PRODUCTION) == [
        f"Topic {internal.name} is on 1 brokers, not on REPLICATION_FACTOR=3; reassign its partitions with "
        "kafka-reassign-partitions.sh.",
        f"Topic {internal.name} has min.insync.replicas=1; set it to MIN_INSYNC_REPLICAS=2.",
    ]


async def test_mend_b03_a_topic_that_no_record_gets_onto_or_that_drops_records_is_told(
    kafka: str, admin: AIOKafkaAdminClient, topics: dict[str, Topic]
) -> None:
    internal = topics["loyalty.internal.v1"]
    configs = internal.config() | {"min.insync.replicas": "2", "unclean.leader.election.enable": "true"}
    await admin.create_topics([NewTopic(internal.name, 4, 1, topic_configs=configs)])
    with pytest.raises(TopicError) as wrong:
        await ensure_topics(kafka, 4, [internal])
    assert wrong.value.problems == [
        f"Topic {internal.name} has min.insync.replicas=2 and is on 1 brokers: it takes no record.",
        f"Topic {internal.name} has unclean.leader.election.enable=true, which drops acknowledged records; set it "
        "to false.",
    ]


@pytest.mark.parametrize(("replicas", "well"), [(1, True), (3, False)])
async def test_mend_b03_a_service_is_not_well_on_topics_that_a_lost_broker_takes_along(
    kafka: str, topics: dict[str, Topic], replicas: int, well: bool
) -> None:
    internal = topics["loyalty.internal.v1"]
    await ensure_topics(kafka, 16, [internal])
    settings = ledger_settings(
        "postgresql://nobody@localhost/none", kafka_bootstrap_servers=kafka, replication_factor=replicas
    )
    brokers = BrokerCheck(settings, [internal])
    try:
        state = await brokers()
    finally:
        await brokers.close()
    assert state.ok == well
    assert well or "REPLICATION_FACTOR=3" in state.detail
