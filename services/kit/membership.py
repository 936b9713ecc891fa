"""Members of the consumer group that will not come back.

A worker is a static member: it never leaves the group, so a restarted one has its shards at once. But when a service
starts with fewer workers than before, nobody would read the shards of those that are gone until their sessions end.
So the first worker takes them out of the group (KIP-345: LeaveGroup names static members from version 3 on, which the
client library does not speak).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int16, Int32, Schema, String

from services.kit import log
from services.kit.settings import Settings

_log = log.get(__name__)
_ANY_MEMBER = ""


class _Left(Response):  # type: ignore[misc]
    API_KEY = 13
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("members", Array(("member_id", String("utf-8")), ("instance", String("utf-8")), ("error_code", Int16))),
    )


class _LeaveGroup(RequestStruct):  # type: ignore[misc]
    API_KEY = 13
    API_VERSION = 3
    RESPONSE_TYPE = _Left
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("members", Array(("member_id", String("utf-8")), ("instance", String("utf-8")))),
    )


class _Leave(Request[_LeaveGroup]):  # type: ignore[misc]
    API_KEY = 13

    def __init__(self, group: str, instances: Sequence[str]) -> None:
        self._group = group
        self._instances = instances

    def build(self, request_struct_class: type[_LeaveGroup]) -> _LeaveGroup:
        return request_struct_class(self._group, [(_ANY_MEMBER, instance) for instance in self._instances])


def group_of(settings: Settings) -> str:
    """The consumer group of a service."""
    return settings.consumer_group or settings.service


def instance_of(settings: Settings, worker: int) -> str:
    """What the group knows a worker by, over its restarts."""
    return f"{settings.service}-{settings.instance}-{worker}"


async def remove_absent(client: Any, settings: Settings) -> None:
    """Take the workers of this installation out of the group that it no longer has; `client` is a started consumer.

    A shard has one worker, so there were never more workers than shards. What cannot be done now, the end of their
    sessions does later.
    """
    absent = [instance_of(settings, worker) for worker in range(settings.workers, settings.shards)]
    if not absent:
        return
    group, network = group_of(settings), client._client  # the library has no public way to the coordinator
    try:
        node = await network.coordinator_lookup(CoordinationType.GROUP, group)
        await network.send(node, _Leave(group, absent), group=ConnectionGroup.COORDINATION)
    except (KafkaError, NotImplementedError) as error:  # the latter: a broker that does not know this version
        _log.warning("absent_workers_stay_in_the_group", error=repr(error))
