"""Makes the topics that are missing, and checks the settings that correctness depends on.

These matter. The partition count, because the partition is the shard. `LogAppendTime`, because the append time of a
record is its arrival. Compaction where a topic is a table. And how many brokers hold a record when it is acknowledged:
an outbox row is deleted then, so a record that only a lost broker had is gone, and a transfer's points with it. A topic
that is otherwise is never changed here: other partitions would move members between shards, so an operator decides.

`python -m services.kit.topics` makes and checks them on KAFKA_BOOTSTRAP_SERVERS with SHARDS shards, on
REPLICATION_FACTOR brokers of which MIN_INSYNC_REPLICAS acknowledge; with `--acls` it also tells the brokers who may
read and write what.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from pydantic import Field, ValidationError

from schemas.topics import ALL, SHARDS, Topic
from services.kit import acls
from services.kit.brokers import BrokerSettings, connection_of

CHECKED_SETTINGS = ("message.timestamp.type", "cleanup.policy")
MIN_INSYNC = "min.insync.replicas"
UNCLEAN = "unclean.leader.election.enable"
_NONE = 0
_ALREADY_EXISTS = 36
_REPLICATION = 38


class Durability(NamedTuple):
    """How well a record is kept: on so many brokers, of which so many have it when it is acknowledged."""

    replicas: int
    in_sync: int


ONE_BROKER: Final = Durability(1, 1)
"""What a single broker can do, for development: a record is lost with its disk."""
PRODUCTION: Final = Durability(3, 2)
"""Any one broker may be lost, and writing goes on without it."""


def durability_of(settings: BrokerSettings) -> Durability:
    """What the settings ask for."""
    return Durability(settings.replication_factor, settings.min_insync_replicas)


class TopicError(Exception):
    """Topics of the broker are not as the contracts say; `problems` has a sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


async def ensure_topics(
    brokers: str | BrokerSettings,
    shards: int = SHARDS,
    topics: Iterable[Topic] = ALL,
    *,
    durability: Durability | None = None,
    timeout_s: float = 60.0,
) -> list[str]:
    """Make the topics that are missing and return their names; safe to call again, and by several at once.

    `brokers` are addresses that ask for no login, or settings.

    `durability` is what the settings ask for; of an address alone, what one broker can do.
    Returns when every partition has a leader. Raises TopicError if a topic that exists differs from the
    contracts, TimeoutError after `timeout_s` seconds, KafkaError if the broker cannot be reached or refuses.
    """
    wanted = list(topics)
    if durability is None:
        durability = ONE_BROKER if isinstance(brokers, str) else durability_of(brokers)
    async with asyncio.timeout(timeout_s), _admin(brokers) as admin:
        there = {found["topic"] for found in await admin.describe_topics() if found["error_code"] == _NONE}
        missing = [topic for topic in wanted if topic.name not in there]
        made = await _create(admin, missing, shards, durability)
        while await _leaderless(admin, wanted):  # noqa: ASYNC110  # the broker sends no notice
            await asyncio.sleep(0.05)
        problems = await check(admin, shards, wanted, durability)
    if problems:
        raise TopicError(problems)
    return made


async def check(
    admin: AIOKafkaAdminClient,
    shards: int = SHARDS,
    topics: Iterable[Topic] = ALL,
    durability: Durability = ONE_BROKER,
) -> list[str]:
    """What is wrong with the topics, a sentence each with the way out; empty if nothing is.

    `admin` is a started client. Raises KafkaError if the broker cannot be reached.
    """
    wanted = {topic.name: topic for topic in topics}
    partitions = {
        found["topic"]: found["partitions"]
        for found in await admin.describe_topics(list(wanted))
        if found["error_code"] == _NONE
    }
    problems = [
        f"Topic {name} does not exist; make it with `python -m services.kit.topics`."
        for name in wanted
        if name not in partitions
    ]
    for name, found in partitions.items():
        expected = wanted[name].partition_count(shards)
        if len(found) != expected:
            problems.append(
                f"Topic {name} has {len(found)} partitions, not {expected}; SHARDS must say what the topics have."
            )
    for name, settings in (await _settings(admin, partitions)).items():
        for setting, expected_value in wanted[name].config().items():
            if setting in CHECKED_SETTINGS and settings.get(setting) != expected_value:
                problems.append(f"Topic {name} has {setting}={settings.get(setting)}; set it to {expected_value}.")
        replicas = min((len(partition["replicas"]) for partition in partitions[name]), default=0)
        problems += _lost_with_a_broker(name, replicas, settings, durability)
    return problems


def _lost_with_a_broker(name: str, replicas: int, settings: Mapping[str, str], wanted: Durability) -> list[str]:
    """What would let acknowledged records of a topic be lost, or keep any from being acknowledged."""
    problems = []
    in_sync = int(settings[MIN_INSYNC])
    if replicas < wanted.replicas:
        problems.append(
            f"Topic {name} is on {replicas} brokers, not on REPLICATION_FACTOR={wanted.replicas}; reassign its "
            "partitions with kafka-reassign-partitions.sh."
        )
    if in_sync < wanted.in_sync:
        problems.append(f"Topic {name} has {MIN_INSYNC}={in_sync}; set it to MIN_INSYNC_REPLICAS={wanted.in_sync}.")
    if in_sync > replicas:
        problems.append(f"Topic {name} has {MIN_INSYNC}={in_sync} and is on {replicas} brokers: it takes no record.")
    if settings[UNCLEAN] == "true":
        problems.append(f"Topic {name} has {UNCLEAN}=true, which drops acknowledged records; set it to false.")
    return problems


async def _create(
    admin: AIOKafkaAdminClient, topics: Iterable[Topic], shards: int, durability: Durability
) -> list[str]:
    durable = {MIN_INSYNC: str(durability.in_sync), UNCLEAN: "false"}
    requests = [
        NewTopic(topic.name, topic.partition_count(shards), durability.replicas, topic_configs=topic.config() | durable)
        for topic in topics
    ]
    if not requests:
        return []
    answer = await admin.create_topics(requests, timeout_ms=30_000)
    made = []
    for name, code, message in answer.topic_errors:
        if code == _NONE:
            made.append(name)
        elif code != _ALREADY_EXISTS:  # another start may have made it in the meantime
            why = message or f"error {code}"
            way_out = (
                f" It has to be on REPLICATION_FACTOR={durability.replicas} brokers." if code == _REPLICATION else ""
            )
            raise TopicError([f"Topic {name} could not be made: {why}.{way_out}"])
    return made


async def _leaderless(admin: AIOKafkaAdminClient, topics: Iterable[Topic]) -> bool:
    found = await admin.describe_topics([topic.name for topic in topics])
    return any(
        topic["error_code"] != _NONE or any(partition["leader"] < 0 for partition in topic["partitions"])
        for topic in found
    )


async def _settings(admin: AIOKafkaAdminClient, topics: Iterable[str]) -> dict[str, dict[str, str]]:
    names = dict.fromkeys((*CHECKED_SETTINGS, MIN_INSYNC, UNCLEAN))
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic, configs=names) for topic in topics]
    if not resources:
        return {}
    settings: dict[str, dict[str, str]] = {}
    for answer in await admin.describe_configs(resources):
        for resource in answer.to_object()["resources"]:
            entries: list[dict[str, Any]] = resource["config_entries"]
            settings[resource["resource_name"]] = {e["config_names"]: e["config_value"] for e in entries}
    return settings


@contextlib.asynccontextmanager
async def _admin(brokers: str | BrokerSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    settings = BrokerSettings(kafka_bootstrap_servers=brokers) if isinstance(brokers, str) else brokers
    client = AIOKafkaAdminClient(**connection_of(settings), client_id="topics")
    try:
        await client.start()
        yield client
    finally:
        await client.close()


class TopicSettings(BrokerSettings):
    """The environment of this command. It logs in as somebody who may make topics and, for `--acls`, alter rules."""

    shards: int = Field(default=SHARDS, ge=1, description="Partitions of every member-keyed topic.")
    kafka_principals: dict[str, str] = Field(
        default={},
        description="Whom the brokers know ledger, tiering, notifier, gateways and shop by, as JSON, where that is "
        'another name: {"ledger": "CN=ledger,O=Shop"}.',
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Make and check the topics of the environment's brokers; the exit code is 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m services.kit.topics")
    parser.add_argument("--acls", action="store_true", help="print who may read and write what, and tell the brokers")
    chosen = parser.parse_args(arguments)
    try:
        settings = TopicSettings()
    except ValidationError as wrong:
        for error in wrong.errors(include_input=False, include_url=False):
            name = ".".join(map(str, error["loc"])).upper() or "environment"
            sys.stderr.write(f"{name}: {error['msg']}\n")
        return 2
    try:
        made = asyncio.run(ensure_topics(settings, settings.shards))
        if chosen.acls:
            asyncio.run(_apply_acls(settings))
    except TopicError as wrong:
        sys.stderr.write("\n".join(wrong.problems) + "\n")
        return 1
    except acls.AclError as wrong:
        sys.stderr.write(f"{wrong}\n")
        return 1
    sys.stdout.write(f"{len(ALL)} topics are as the contracts say, {len(made)} of them new.\n")
    return 0


async def _apply_acls(settings: TopicSettings) -> None:
    rules = acls.rules_of(principals=settings.kafka_principals)
    async with _admin(settings) as admin:
        await acls.apply(admin, rules)
    sys.stdout.write("".join(f"{rule}\n" for rule in rules))


if __name__ == "__main__":
    sys.exit(main())
