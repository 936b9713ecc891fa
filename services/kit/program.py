"""Every published version of the loyalty program, followed from `loyalty.program.v1` into memory."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import msgspec
import orjson
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.kit import log
from services.kit.calendar import Micros, parse_rfc3339
from services.kit.kafka import new_reader, stop_quietly
from services.kit.part import State
from services.kit.postgres import backoff
from services.kit.pulse import Pulse
from services.kit.settings import Settings
from services.kit.unavailable import Unavailable

_log = log.get(__name__)

PROGRAM_TOPIC: Final = "loyalty.program.v1"
PUBLISHED: Final = "loyalty.program.published.v1"
CONNECT_SECONDS: Final = 30.0
OUTDATED_SECONDS: Final = 300.0
"""How old the knowledge may be that no newer version is published: half of the ten minutes that lie between a version's
publication and its `effective_from`. The other half is for the ledger's outbox."""
P = TypeVar("P")


class Version(msgspec.Struct, Generic[P], frozen=True):
    """One published version. `program` is what the service's `parse` made of the document."""

    version: str
    content_hash: str
    effective_from: Micros
    published_at: Micros
    program: P


class NoProgram(Exception):
    """No version of the program has been published yet."""


class ProgramOutdated(Unavailable):
    """It is not known whether the newest version is known: nothing may be decided by an older one."""

    what = "program"


class ProgramFollower(Generic[P]):
    """The part `program`: all versions in memory, found by business time. It runs whatever `--parts` says."""

    name = "program"

    def __init__(self, settings: Settings, *, parse: Callable[[dict[str, Any]], P], topic: str = PROGRAM_TOPIC) -> None:
        """`parse` makes the service's own form of a document (as JSON). If it raises, that version is left out and the
        service is not well; the versions before it stay in use."""
        self._settings = settings
        self._parse = parse
        self._topic = topic
        self._versions: tuple[Version[P], ...] = ()
        self._starts: list[Micros] = []
        self._caught_up = asyncio.Event()
        self._listeners: list[Callable[[Version[P]], None]] = []
        self._task: asyncio.Task[None] | None = None
        self.pulse = Pulse()
        self._newest_at: float | None = None
        self._unreachable = ""
        self._failed = ""
        self._unusable = ""

    def current_at(self, at: Micros) -> Version[P]:
        """The version of a business time: the last with `effective_from <= at`; the first covers all earlier
        times. Raises `NoProgram`."""
        if not self._versions:
            raise NoProgram
        return self._versions[max(0, bisect_right(self._starts, at) - 1)]

    @property
    def versions(self) -> tuple[Version[P], ...]:
        """All versions, by `effective_from`."""
        return self._versions

    def check_newest(self) -> None:
        """To be called by each batch that decides by the program. Raises `ProgramOutdated` when the end of the topic
        was not seen for `OUTDATED_SECONDS`. A follower that does not run has what it was given."""
        if self._task is None:
            return
        seen = self._newest_at
        if seen is None or time.monotonic() - seen > OUTDATED_SECONDS:
            since = "yet" if seen is None else f"for {time.monotonic() - seen:.0f} s"
            raise ProgramOutdated(f"the end of {self._topic} was not seen {since}")

    async def first(self) -> Version[P]:
        """Waits until there is a version and all that was published before the start has been read."""
        await self._caught_up.wait()
        return self._versions[0]

    def on_version(self, listener: Callable[[Version[P]], None]) -> None:
        """Calls `listener` for each version as it arrives."""
        self._listeners.append(listener)

    def add(self, version: Version[P]) -> None:
        """Adds a version, or replaces the one of the same name."""
        others = [known for known in self._versions if known.version != version.version]
        versions = sorted([*others, version], key=lambda known: (known.effective_from, known.published_at))
        self._versions = tuple(versions)
        self._starts = [known.effective_from for known in versions]
        for listener in self._listeners:
            listener(version)

    async def start(self) -> None:
        """Begins to follow; returns at once."""
        self._task = self.pulse.follow(asyncio.create_task(self._run(), name="program"))

    async def stop(self) -> None:
        """Stops following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def state(self) -> State:
        """Whether a version is known and the last one published could be read."""
        figures = {"versions": len(self._versions)}
        if self._unusable:
            remedy = "Deploy a release that knows all of it, or publish another version."
            detail = f"a published version cannot be used: {self._unusable}"
            return State(False, detail, remedy, figures, serves=self._caught_up.is_set())
        if not self._caught_up.is_set():
            detail = self._unreachable or "no program has been published"
            return State(False, detail, "Publish one: python -m services.ledger publish FILE", figures)
        if self._failed:
            remedy = "The versions that are known stay in use for some minutes; see the log for the cause."
            return State(False, self._failed, remedy, figures, serves=True)
        return State(True, self._unreachable, figures=figures)

    async def _run(self) -> None:
        attempt = 0
        while True:
            client = new_reader(self._settings, "program", auto_offset_reset="earliest")
            try:
                await self._follow(client)
            except (KafkaError, TimeoutError, OSError) as error:
                self._unreachable = f"brokers: {error!r}"
                _log.warning("program_interrupted", error=repr(error))
            except Exception as error:
                self._failed = f"{type(error).__name__}: {error}"
                _log.exception("program_failed")
            finally:
                await stop_quietly(client)
            attempt += 1
            self.pulse.beat()
            await backoff(attempt + 4, max_seconds=5.0)

    async def _follow(self, client: Any) -> None:
        partition = TopicPartition(self._topic, 0)
        async with asyncio.timeout(CONNECT_SECONDS):
            await client.start()
            client.assign([partition])
            await client.seek_to_beginning(partition)
            end = (await client.end_offsets([partition]))[partition]
        self._unreachable = ""
        while True:
            self.pulse.beat()
            for records in (await client.getmany(partition, timeout_ms=1000)).values():
                for record in records:
                    self._take(record.value)
            position = await client.position(partition)
            if position >= end:
                self._failed = ""
                if self._versions:
                    self._caught_up.set()
            self._note_end(client, partition, position)

    def _note_end(self, client: Any, partition: TopicPartition, position: int) -> None:
        """Takes note of when the brokers last said that there is nothing behind what was read."""
        told_at, end = client.last_poll_timestamp(partition), client.highwater(partition)
        if told_at and end is not None and position >= end:
            self._newest_at = time.monotonic() - max(0.0, time.time() - told_at / 1000)

    def _take(self, value: bytes | None) -> None:
        if value is None:  # a tombstone withdraws no version: what was booked under it stays booked
            return
        try:
            event = orjson.loads(value)
            if event["type"] != PUBLISHED:
                return
            data = event["data"]
            version = Version(
                version=data["version"],
                content_hash=data["content_hash"],
                effective_from=parse_rfc3339(data["effective_from"]),
                published_at=parse_rfc3339(data["published_at"]),
                program=self._parse(data["document"]),
            )
        except Exception as error:
            self._unusable = f"{type(error).__name__}: {error}"
            _log.error("program_unusable", error=self._unusable)
            return
        self._unusable = ""
        self.add(version)
        _log.info("program_version", version=version.version, effective_from=data["effective_from"])
