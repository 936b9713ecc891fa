"""Batches of inputs of one shard, each one transaction: `begin; fence; book; commit`.

Kafka's batches come through `run` with the fence that moves their stored offsets; HTTP commands come through `submit`
and share a transaction with those that arrive while one is in flight for their shard (group commit). A batch of
commands is first tried as one statement that is its own transaction (`BookAtOnce`).

A deadlock or a serialization failure runs the whole batch again: it left nothing behind. So does, for commands, a
connection lost before COMMIT. A connection lost *in* COMMIT leaves its outcome open, and it is never repeated blindly:
with a fence the stored offsets say what happened, read under their row locks so that a COMMIT still on its way is
waited for; without a fence the batch runs again, and `book` answers from its journal what it had booked.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

import msgspec

from services.kit import log, metrics
from services.kit.dead_letter import Refused
from services.kit.faults import fault
from services.kit.postgres import ATTEMPTS, CONFLICTS, Connection, Pool, Queries, backoff, is_unavailable

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741

ASKED_SECONDS: Final = 1.0
"""For so long after a command the next one is expected."""
GIVE_WAY_SECONDS: Final = 0.1
"""How long records wait for commands at most: they go on however many commands there are."""

_log = log.get(__name__)
_SQL: Final = Queries.load("services.kit", "sql/offsets.sql", require=("move", "stored_locked"))


class Book(Protocol[I_contra, O_co]):
    """Books the inputs of one shard in the given transaction and answers one outcome each, in order.

    It may run again for the same inputs, keeps no state outside the transaction, and neither commits nor rolls back.
    A `Refused` outcome of a record becomes a dead letter in the same transaction; that of a command is its answer.
    """

    async def __call__(self, tx: Connection, shard: int, inputs: Sequence[I_contra], /) -> Sequence[O_co | Refused]: ...


class BookAtOnce(Protocol[I_contra, O_co]):
    """Books commands of one shard on a connection outside of any transaction, by one statement that writes all or
    nothing; or None, when `Book` has to do it, and nothing was booked. A lost connection leaves the outcome open."""

    async def __call__(
        self, connection: Connection, shard: int, inputs: Sequence[I_contra], /
    ) -> Sequence[O_co | Refused] | None: ...


class Fence(msgspec.Struct, frozen=True):
    """The stored offsets of one shard that a batch moves: `expected` is what this owner last wrote or loaded."""

    topics: list[str]
    expected: list[int]
    next: list[int]


class Fenced(Exception):
    """Another owner has moved the stored offsets of this shard: nothing of the batch was booked here."""


class DatabaseUnavailable(Exception):
    """The database cannot be reached or takes no transactions now; the batch may be tried again."""


class _InDoubt(Exception):
    """The connection was lost in COMMIT: the transaction stands or does not."""


Also: TypeAlias = Callable[[Connection, Sequence[O | Refused]], Awaitable[None]]


class Executor(Generic[I, O]):
    """Makes one transaction of a batch of inputs of one shard."""

    def __init__(
        self,
        pool: Pool,
        book: Book[I, O],
        *,
        optimistic: BookAtOnce[I, O] | None = None,
        committed: Callable[[int], None] | None = None,
        max_batch: int = 1000,
        concurrent_shards: int = 2,
        patience_seconds: float = 5.0,
    ) -> None:
        """Commands are tried `at_once` first: of few commands it is the round trips of a transaction that cost.
        Those of `concurrent_shards` are booked side by side: what waits for its turn comes together meanwhile.
        `committed(shard)` is called after each COMMIT (it wakes the relay). Commands wait `patience_seconds` for a
        database that is away before they answer `DatabaseAway`."""
        self._pool = pool
        self._book = book
        self._at_once = optimistic
        self._committed = committed
        self._max_batch = max_batch
        self._turns = asyncio.Semaphore(concurrent_shards)
        self._patience_seconds = patience_seconds
        self._queues: dict[int, deque[tuple[I, asyncio.Future[O | Refused]]]] = {}
        self._workers: dict[int, asyncio.Task[None]] = {}
        self._asked_at = self._ran_at = float("-inf")
        self._waiting = 0
        self._quiet = asyncio.Event()

    async def run(
        self, shard: int, inputs: Sequence[I], *, fence: Fence, also: Also[O] | None = None
    ) -> Sequence[O | Refused]:
        """Books a batch of records, all or nothing. `also` writes what belongs to the same transaction (dead letters).

        Raises `Fenced` when another owner has the shard, `DatabaseAway` (then reload the stored offsets: the batch
        may stand), or what `book` or `also` raised.
        """
        self._ran_at = time.monotonic()
        for attempt in range(1, ATTEMPTS + 1):
            outcomes: list[O | Refused] = []
            try:
                return await self._transact(shard, inputs, fence, also, outcomes)
            except CONFLICTS:
                if attempt == ATTEMPTS:
                    raise
                metrics.count("transaction_retries_total")
            except _InDoubt as lost:
                if await self._stands(shard, fence):
                    self._done(shard)
                    return outcomes
                _log.warning("commit_lost", shard=shard, error=repr(lost.__cause__))
            except Exception as error:
                if is_unavailable(error):
                    raise DatabaseUnavailable(repr(error)) from error
                raise
            await backoff(attempt)
        raise DatabaseUnavailable("every COMMIT of this batch was lost")

    @property
    def is_asked(self) -> bool:
        """Whether commands come in: records should leave them room, for someone waits for each of them."""
        return time.monotonic() - self._asked_at < ASKED_SECONDS

    @property
    def is_busy(self) -> bool:
        """Whether commands or records come in: what nobody waits for should leave them room."""
        return time.monotonic() - max(self._asked_at, self._ran_at) < ASKED_SECONDS

    async def submit(self, shard: int, command: I, *, background: bool = False) -> O | Refused:
        """Books one command, sharing a transaction with those that arrive together; for one in the `background` nobody
        waits, so records go on as if it were not there.

        Raises `DatabaseAway`, or what `book` raised for this command.
        """
        if background:
            return await self._enqueue(shard, command)
        self._asked_at = time.monotonic()
        self._waiting += 1
        self._quiet.clear()
        try:
            return await self._enqueue(shard, command)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._quiet.set()

    async def give_way(self) -> None:
        """Returns when no command waits for its answer, after `GIVE_WAY_SECONDS` in any case."""
        if self._waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(GIVE_WAY_SECONDS):
                    await self._quiet.wait()

    async def _enqueue(self, shard: int, command: I) -> O | Refused:
        answer: asyncio.Future[O | Refused] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(shard, deque()).append((command, answer))
        if shard not in self._workers:
            self._workers[shard] = asyncio.create_task(self._serve(shard), name=f"commands-{shard}")
        return await answer

    async def drain(self) -> None:
        """Returns when no command is in flight (the graceful stop)."""
        while self._workers:
            await asyncio.wait(list(self._workers.values()))

    async def _serve(self, shard: int) -> None:
        """Books a shard's waiting commands, batch by batch, until none waits."""
        queue = self._queues[shard]
        try:
            while queue:
                async with self._turns:
                    batch = [queue.popleft() for _ in range(min(len(queue), self._max_batch))]
                    await self._answer(shard, batch)
        finally:
            del self._queues[shard], self._workers[shard]

    async def _answer(self, shard: int, batch: list[tuple[I, asyncio.Future[O | Refused]]]) -> None:
        try:
            outcomes = await self._run_commands(shard, [command for command, _ in batch])
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, DatabaseUnavailable):
                # One command breaks the batch of the others: each by itself, so that it breaks its own alone.
                for alone in batch:
                    await self._answer(shard, [alone])
                return
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
        else:
            for (_, answer), outcome in zip(batch, outcomes, strict=True):
                if not answer.done():
                    answer.set_result(outcome)

    async def _run_commands(self, shard: int, commands: Sequence[I]) -> Sequence[O | Refused]:
        patience_ends = time.monotonic() + self._patience_seconds
        attempt = 0
        while True:
            attempt += 1
            try:
                if (outcomes := await self._try_at_once(shard, commands)) is not None:
                    return outcomes
                return await self._transact(shard, commands, None, None, [])
            except CONFLICTS:
                if attempt >= ATTEMPTS:
                    raise
                metrics.count("transaction_retries_total")
            except Exception as error:
                if not (isinstance(error, _InDoubt) or is_unavailable(error)):
                    raise
                if time.monotonic() > patience_ends:
                    raise DatabaseUnavailable(repr(error)) from error
            await self._pause(attempt)

    async def _pause(self, attempt: int) -> None:
        """Waits before a batch of commands runs again; meanwhile it is others' turn."""
        self._turns.release()
        try:
            await backoff(attempt)
        finally:
            await self._turns.acquire()

    async def _try_at_once(self, shard: int, commands: Sequence[I]) -> Sequence[O | Refused] | None:
        if self._at_once is None:
            return None
        began = time.perf_counter()
        async with self._pool.acquire() as connection:
            outcomes = await self._at_once(connection, shard, commands)
        if outcomes is not None:
            fault("after_commit")
            self._booked(shard, len(commands), began)
        return outcomes

    async def _transact(
        self,
        shard: int,
        inputs: Sequence[I],
        fence: Fence | None,
        also: Also[O] | None,
        outcomes: list[O | Refused],
    ) -> Sequence[O | Refused]:
        """One transaction; `outcomes` is filled before COMMIT, for who has to settle a doubt."""
        began = time.perf_counter()
        async with self._pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                if fence is not None:
                    await self._pass_fence(connection, shard, fence)
                if inputs:
                    outcomes.extend(await self._book(connection, shard, inputs))
                    if len(outcomes) != len(inputs):
                        raise AssertionError(f"{len(inputs)} inputs, {len(outcomes)} outcomes")
                if also is not None:
                    await also(connection, outcomes)
                fault("before_commit")
            except BaseException:
                with suppress(Exception):  # a lost connection has rolled back already
                    await transaction.rollback()
                raise
            try:
                await transaction.commit()
            except BaseException as lost:
                if isinstance(lost, Exception) and not is_unavailable(lost):
                    raise  # the server refused to commit, and says so
                with suppress(Exception):  # its state is unknown; a lost one has left the pool already
                    connection.terminate()
                if isinstance(lost, Exception):
                    raise _InDoubt from lost
                raise
            fault("after_commit")
        self._booked(shard, len(inputs), began)
        return outcomes

    async def _pass_fence(self, connection: Connection, shard: int, fence: Fence) -> None:
        """Moves all stored offsets of the batch in one statement, or none and raises `Fenced`."""
        status = await connection.execute(_SQL.move, shard, fence.topics, fence.expected, fence.next)
        if status != f"UPDATE {len(fence.topics)}":
            raise Fenced(f"shard {shard}")
        fault("after_fence")

    async def _stands(self, shard: int, fence: Fence) -> bool:
        """Whether the transaction that moved this fence stands, once it has ended either way."""
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                rows = await connection.fetch(_SQL.stored_locked, shard, fence.topics)
        except Exception as error:
            if is_unavailable(error):
                raise DatabaseUnavailable(repr(error)) from error
            raise
        stored = {row["topic"]: row["next_offset"] for row in rows}
        if all(stored.get(topic) == at for topic, at in zip(fence.topics, fence.next, strict=True)):
            return True
        if all(stored.get(topic) == at for topic, at in zip(fence.topics, fence.expected, strict=True)):
            return False
        raise Fenced(f"shard {shard}")

    def _booked(self, shard: int, inputs: int, began: float) -> None:
        metrics.observe("transaction_seconds", time.perf_counter() - began)
        metrics.observe("transaction_inputs", inputs)
        self._done(shard)

    def _done(self, shard: int) -> None:
        if self._committed is not None:
            self._committed(shard)
