"""Checks that run in the background and say whether each thing works, why not, and what to do.

*Ready* and *well* are two questions. A worker is ready when it can answer over HTTP, for which it needs the database
and the program alone: a load balancer goes by it, and a consumer that has stopped or a broker that is away must not
take the reads away too. A worker is well when everything in it works: that is for people and alarms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from schemas.topics import ALL, Topic
from services.kit.part import State

if TYPE_CHECKING:
    from services.kit.postgres import Pool
    from services.kit.settings import Settings
    from services.kit.worker_status import WorkerStatus

CHECK_SECONDS: Final = 5.0
"""A check that takes longer counts as failed."""


NEEDED_TO_SERVE: Final = frozenset({"database", "program", "api", "worker"})
"""What a request needs: a worker whose state is not known (`worker`) may hang."""

_REPLICATION: Final = (
    "SELECT (SELECT count(*) FROM pg_stat_replication), current_setting('synchronous_standby_names'), "
    "current_setting('synchronous_commit')"
)
"""Any role may count the standbys; who they are is not shown to all."""

Check = Callable[[], Awaitable[State]]
_UNKNOWN: Final = State(False, "not checked yet", "Wait a moment.")


class Health:
    """Runs the checks of one worker in the background: to ask for them costs nothing and reaches no server."""

    def __init__(self, status: WorkerStatus) -> None:
        self._status = status
        self._checks: dict[str, tuple[Check, float]] = {}
        self._states: dict[str, State] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, name: str, check: Check, *, every_seconds: float = 1.0) -> None:
        """Adds a check that runs again and again. It counts for readiness too if it is one of `NEEDED_TO_SERVE`. To be
        called before `start`."""
        self._checks[name] = (check, every_seconds)
        self._states[name] = _UNKNOWN

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether every worker can answer requests, and the document of `/readyz`: names alone, as anybody may ask."""
        lacking = {
            name
            for states in self._status.states(self._states).values()
            for name, state in states.items()
            if name in NEEDED_TO_SERVE and not state.can_serve
        }
        return not lacking, {"status": "not ready" if lacking else "ready", "lacking": sorted(lacking)}

    def well(self, *, details: bool) -> tuple[bool, dict[str, Any]]:
        """Whether every check of every worker succeeds, and the document of `/status`: without `details`, which part
        of which worker is well and no more, for errors name addresses, tables and members of the inside."""
        workers = self._status.states(self._states)
        ok = all(state.ok for states in workers.values() for state in states.values())
        document = {
            "status": "well" if ok else "not well",
            "workers": {
                str(worker): states if details else {name: {"ok": state.ok} for name, state in states.items()}
                for worker, states in workers.items()
            },
        }
        return ok, document if details else document | {"details": "Send a token with the scope ops:read."}

    async def start(self) -> None:
        """Begins to check."""
        self._tasks = [
            asyncio.create_task(self._repeat(name, check, every), name=f"check-{name}")
            for name, (check, every) in self._checks.items()
        ]
        self._tasks.append(asyncio.create_task(self._publish(), name="worker-status"))

    async def stop(self) -> None:
        """Stops checking."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _repeat(self, name: str, check: Check, every_seconds: float) -> None:
        while True:
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    self._states[name] = await check()
            except TimeoutError:
                self._states[name] = State(False, f"no answer within {CHECK_SECONDS:g} s", "Bring the server back.")
            except Exception as error:
                self._states[name] = State(False, f"{type(error).__name__}: {error}", "See the log of this part.")
            # A check that failed runs again soon, so that a recovery shows.
            await asyncio.sleep(every_seconds if self._states[name].ok else min(1.0, every_seconds))

    async def _publish(self) -> None:
        while True:
            self._status.publish(self._states)
            await asyncio.sleep(1.0)


def failover_state(standbys: int, synchronous_names: str, synchronous_commit: str) -> State:
    """Whether a failover would lose what was committed (C3): with a standby that commits do not wait for, it would."""
    if not standbys or (synchronous_names and synchronous_commit in ("on", "remote_apply")):
        return State(True)
    return State(
        True,
        f"commits do not wait for the standby: a failover would lose the last of them ({synchronous_commit=}, "
        f"{synchronous_names=})",
        "Set synchronous_standby_names, and synchronous_commit to on or remote_apply; after a failover that has lost "
        "commits, do as after a restore (runbook).",
    )


def database_check(pool: Pool, package: str, schema: str) -> Check:
    """Whether the database answers and has all migrations of the code."""
    from services.kit.migrate import MigrationError, pending

    migrated = False

    async def check() -> State:
        nonlocal migrated
        try:
            async with pool.acquire(timeout=CHECK_SECONDS) as connection:
                if not migrated:
                    missing = await pending(connection, package, schema=schema)
                    if missing:
                        remedy = f"Run: python -m {package} migrate"
                        return State(False, f"migrations are missing: {', '.join(missing)}", remedy)
                    migrated = True
                row = await connection.fetchrow(_REPLICATION)
        except MigrationError as changed:
            return State(False, str(changed), "Deploy the release that the database was migrated by, or a later one.")
        except Exception as error:
            return State(False, f"{type(error).__name__}: {error}", "Bring the database back; nothing is lost.")
        assert row is not None
        return failover_state(*row)

    return check


class BrokerCheck:
    """Whether the brokers answer and the topics are as the contracts need them."""

    def __init__(self, settings: Settings, topics: Sequence[Topic] = ALL) -> None:
        self._settings = settings
        self._topics = topics
        self._admin: Any = None

    async def __call__(self) -> State:
        from aiokafka.admin import AIOKafkaAdminClient

        from services.kit import topics
        from services.kit.brokers import connection_of
        from services.kit.kafka import stop_quietly

        try:
            if self._admin is None:
                admin = AIOKafkaAdminClient(
                    **connection_of(self._settings),
                    client_id=f"{self._settings.service}-health",
                )
                self._admin = admin
                await admin.start()
            durability = topics.durability_of(self._settings)
            problems = await topics.check(self._admin, self._settings.shards, self._topics, durability)
        except BaseException as error:
            admin, self._admin = self._admin, None
            if admin is not None:
                await stop_quietly(admin, 1.0)
            if not isinstance(error, Exception):
                raise
            return State(False, f"{type(error).__name__}: {error}", "Bring the brokers back; nothing is lost.")
        return State(not problems, " ".join(problems), "Run: python -m services.kit.topics" if problems else "")

    async def close(self) -> None:
        """Closes the client."""
        from services.kit.kafka import stop_quietly

        if self._admin is not None:
            await stop_quietly(self._admin, 1.0)
