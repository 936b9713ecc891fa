"""A world on a real PostgreSQL, whose connections break and whose workers die at drawn calls."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import asyncpg

from schemas.program import Program
from services.kit.calendar import later
from services.kit.migrate import ensure_months, migrate
from services.kit.postgres import COMMAND_SECONDS, _keep_session, session_settings
from services.ledger import store
from services.ledger.answers import Answer
from services.ledger.audit.verify import examine, summarise
from services.ledger.codecs import register_codecs
from services.ledger.domain.program.catalogue import compile_rewards
from services.ledger.events.internal import INTERNAL
from services.ledger.publication import publish_document
from tests.conftest import as_role
from tests.integration.ledger_support import DOCUMENT, ledger_settings
from tests.simulation.faults import BEGIN, COMMIT, Fault, Faults
from tests.simulation.post import Sealed
from tests.simulation.programs import with_all
from tests.simulation.traffic import DAY, START, traffic
from tests.simulation.verdict import answered_once, between_accounts, booked_once
from tests.simulation.world import OFFSETS, TOPICS, AnyPool, World

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection

T = TypeVar("T")

SHARDS = 4
MEMBERS = 40
_SECONDS_TO_DIE = 5_000
_REFUSE = "DO $$ BEGIN RAISE EXCEPTION 'drawn' USING ERRCODE = '40001'; END $$"
_MONTHS = 14
_BUDGET = 20_000
_STOCK = 10
_FACTS = "SELECT member_id, key, value FROM fact JOIN identity USING (shard, account)"
_COLLECT = "DELETE FROM outbox WHERE topic = $1 RETURNING id, shard, key, value"


class FaultyConnection(_Connection):
    """Fails as the faults say: for real, as far as a client can bring it about."""

    faults: ClassVar[Faults]
    killed: ClassVar[Callable[[], None]]
    terminate_backend: ClassVar[Callable[[int], Awaitable[None]]]

    async def fetch(self, query: str, *args: Any, **more: Any) -> Any:
        """SELECT."""
        return await self._through(query, super().fetch, query, *args, **more)

    async def execute(self, query: str, *args: Any, **more: Any) -> str:
        """Any statement; also BEGIN and COMMIT."""
        return await self._through(query, super().execute, query, *args, **more)

    async def copy_records_to_table(self, table_name: str, **more: Any) -> str:
        """COPY."""
        return await self._through(f"copy {table_name}", super().copy_records_to_table, table_name, **more)

    async def _through(self, statement: str, call: Callable[..., Awaitable[T]], *args: Any, **more: Any) -> T:
        kind = next((word for word in (BEGIN, COMMIT, "ROLLBACK") if statement.startswith(word)), "statement")
        fault = self.faults.draw(kind) if kind != "ROLLBACK" else None
        if fault is None:
            return await call(*args, **more)
        if fault is Fault.CONFLICT:
            await super().execute("ROLLBACK" if kind == COMMIT else _REFUSE)
            raise fault.error()
        if fault is Fault.LOST_BEFORE:
            # The server ends the session, and the client hears of it at its next word.
            await type(self).terminate_backend(self.get_server_pid())
            return await call(*args, **more)
        if not fault.is_before:
            await call(*args, **more)
        self.terminate()
        if fault in (Fault.KILLED_BEFORE, Fault.KILLED_AFTER):
            type(self).killed()
        raise fault.error()


@dataclass
class Crashed:
    """What became of a world on PostgreSQL."""

    seed: str
    crashes: int = 0
    deaths: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    summary: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


async def crash(dsn: str, seed: str, *, inputs: int, rate: float) -> Crashed:
    """Play a world on an empty database (superuser's DSN), then verify the ledger in it."""
    settings = ledger_settings(dsn, shards=SHARDS)
    await migrate(settings, "services.ledger")
    faults = Faults(seed, 0.0)
    admin = await asyncpg.connect(dsn)
    owner = await asyncpg.connect(as_role(dsn, "ledger"), server_settings={"search_path": "ledger"})
    turn = asyncio.Lock()

    async def terminate_backend(pid: int) -> None:
        async with turn:
            await admin.execute("SELECT pg_terminate_backend($1, $2)", pid, _SECONDS_TO_DIE)

    async def open_store(killed: Callable[[], None]) -> AnyPool:
        connection = type(
            "Connection",
            (FaultyConnection,),
            {
                "faults": faults,
                "killed": staticmethod(killed),
                "terminate_backend": staticmethod(terminate_backend),
                "__slots__": (),
            },
        )
        return await asyncpg.create_pool(
            as_role(dsn, "ledger"),
            connection_class=connection,
            min_size=0,
            max_size=SHARDS,
            init=store.prepare,
            reset=_keep_session,
            command_timeout=COMMAND_SECONDS,
            server_settings=session_settings(settings, "simulation"),
        )

    async def collect() -> list[Sealed]:
        rows = await owner.fetch(_COLLECT, INTERNAL)
        return [Sealed(row["shard"], row["key"], row["value"]) for row in sorted(rows, key=lambda row: row["id"])]

    try:
        await register_codecs(owner)
        for table in ("journal", "entry"):
            await ensure_months(owner, table, later(START, -30 * DAY), later(START, _MONTHS * 30 * DAY))
        document = Program.from_document(with_all(DOCUMENT, stock=_STOCK, budget=_BUDGET)).document()
        await publish_document(owner, document)
        for shard in range(SHARDS):
            await owner.execute(OFFSETS.seed, shard, list(TOPICS), [0] * len(TOPICS))
        random.seed(seed)
        steps = traffic(seed, members=MEMBERS, steps=inputs)
        world = World(seed, steps, open_store, collect, shards=SHARDS, patience_seconds=1.0)
        faults.rate = rate
        await world.play()
        crashed = Crashed(seed, faults.made.total(), world.deaths, counts=world.counts)
        crashed.faults.update({f"{fault} {call}": count for (call, fault), count in faults.made.items()})
        journal = await owner.fetch("SELECT digest, at, type, input FROM journal")
        crashed.broken += booked_once(world, (tuple(row) for row in journal))
        kept = {row["digest"]: row for row in await owner.fetch("SELECT digest, status, body FROM answer")}
        crashed.broken += answered_once(
            world, {digest: Answer(row["status"], row["body"]) for digest, row in kept.items()}
        )
        facts: dict[str, dict[str, bytes]] = {}
        for row in await owner.fetch(_FACTS):
            facts.setdefault(row["member_id"], {})[row["key"]] = row["value"]
        crashed.broken += between_accounts(facts, compile_rewards(document))
        crashed.summary = summarise(*await examine(settings))
        crashed.broken += [str(example) for example in crashed.summary["examples"]]
        return crashed
    finally:
        await admin.close()
        await owner.close()
