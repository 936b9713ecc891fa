"""Batches of inputs of one shard, each one transaction: `begin; fence; book; commit`.

Kafka's batches come through `run` with the fence that moves their stored offsets; HTTP commands come through `submit`
and share a transaction with those that arrive while one is in flight for their shard (group commit). A batch of
commands is first tried as one statement that is a transaction by itself (`BookOptimistically`).

After a deadlock or a serialization failure the whole batch runs again, for it left nothing behind. So do commands after
a connection that was lost before COMMIT. When a connection is lost *in* COMMIT, nobody knows whether the transaction
stands, and the batch is never repeated blindly. With a fence, the stored offsets say what happened; they are read under
their row locks, which waits for a COMMIT that is still on its way. Without a fence the batch runs again, and `book`
answers from its journal what it had booked.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from services.kit import log, metrics
from services.kit.dead_letter import Refused
from services.kit.faults import fault
from services.kit.kafka import Shard
from services.kit.part import ClockCheck
from services.kit.postgres import ATTEMPTS, CONFLICTS, Connection, Pool, Queries, backoff, is_unavailable
from services.kit.unavailable import Unavailable

if TYPE_CHECKING:
    from asyncpg.transaction import Transaction

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741

EXPECT_SECONDS: Final = 1.0
"""For so long after a command the next one is expected."""
WAIT_SECONDS: Final = 5.0
"""A command that has waited longer for its turn is let go: whoever sent it has gone, or will send it again."""
YIELD_SECONDS: Final = 0.1
"""How long records wait for commands at most: they go on however many commands there are."""

_log = log.get(__name__)
_SQL: Final = Queries.load("services.kit", "sql/offsets.sql", require=("move", "stored_locked"))


class Book(Protocol[I_contra, O_co]):
    """Books the inputs of one shard in the given transaction and answers one outcome each, in order.

    It may run again for the same inputs, keeps no state outside the transaction, and neither commits nor rolls back.
    A `Refused` outcome of a record becomes a dead letter in the same transaction; that of a command is its answer.
    """

    async def __call__(
        self, tx: Connection, shard: Shard, inputs: Sequence[I_contra], /
    ) -> Sequence[O_co | Refused]: ...


class BookOptimistically(Protocol[I_contra, O_co]):
    """Books commands of one shard on a connection outside of any transaction, by one statement that writes all or
    nothing. Answers None when nothing was booked and `Book` has to do it. A lost connection leaves it unknown whether
    the statement has written."""

    async def __call__(
        self, connection: Connection, shard: Shard, inputs: Sequence[I_contra], /
    ) -> Sequence[O_co | Refused] | None: ...


class Fence(msgspec.Struct, frozen=True):
    """The stored offsets of one shard that a batch moves: `expected` is what this owner last wrote or loaded."""

    topics: list[str]
    expected: list[int]
    next: list[int]


class Fenced(Exception):
    """Another owner has moved the stored offsets of this shard: nothing of the batch was booked here."""


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached or takes no transactions now."""

    what = "database"


class ClockOff(DatabaseUnavailable):
    """Nothing that goes by the present instant may be booked in this process (C1); the message says why."""


class Overloaded(Exception):
    """Too many commands wait for their transaction, or this one has waited too long: it was not booked."""


class _CommitUnknown(Exception):
    """The connection was lost in COMMIT: nobody knows yet whether the transaction was committed."""


Also: TypeAlias = Callable[[Connection, Sequence[O | Refused]], Awaitable[None]]
"""Writes what belongs to the transaction of a batch, given its outcomes (dead letters)."""


@dataclass(slots=True)
class _Batch(Generic[I, O]):
    """What one transaction books. `outcomes` is filled before COMMIT, for the case that its answer is lost."""

    shard: Shard
    inputs: Sequence[I]
    fence: Fence | None = None
    also: Also[O] | None = None
    outcomes: list[O | Refused] = field(default_factory=list)


class _Waiting(NamedTuple, Generic[I, O]):
    """A command that waits for its turn until an instant of the monotonic clock, and the answer to it."""

    command: I
    answer: asyncio.Future[O | Refused]
    waits_until: float


def _still_waiting(batch: list[_Waiting[I, O]]) -> list[_Waiting[I, O]]:
    """The commands whose turn has come in time; the others are let go."""
    now = time.monotonic()
    if all(now <= one.waits_until for one in batch):
        return batch
    for late in batch:
        if now > late.waits_until and not late.answer.done():
            metrics.count("commands_shed_total", why="late")
            late.answer.set_exception(Overloaded(f"It has waited for {WAIT_SECONDS:g} s"))
    return [one for one in batch if now <= one.waits_until]


class Executor(Generic[I, O]):
    """Makes one transaction of a batch of inputs of one shard."""

    def __init__(
        self,
        pool: Pool,
        book: Book[I, O],
        *,
        optimistic: BookOptimistically[I, O] | None = None,
        committed: Callable[[Shard], None] | None = None,
        clock: ClockCheck | None = None,
        max_batch: int = 1000,
        concurrent_shards: int = 2,
        max_waiting: int = 250,
        timeout_seconds: float = 5.0,
    ) -> None:
        """Commands are tried by `optimistic` first, which saves the round trips of a transaction. The commands of
        `concurrent_shards` shards are booked side by side; those of other shards wait, and then share a transaction.
        Of one shard `max_waiting` commands wait at most, and `WAIT_SECONDS` at most; then they raise `Overloaded`.
        While `clock` is off, commands are refused (C1).
        `committed(shard)` is called after each COMMIT (it wakes the relay). Commands wait `timeout_seconds` for a
        database that cannot be reached before they raise `DatabaseUnavailable`."""
        self._pool = pool
        self._book = book
        self._optimistic = optimistic
        self._committed = committed
        self._clock = clock
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._slots = asyncio.Semaphore(concurrent_shards)
        self._timeout_seconds = timeout_seconds
        self._queues: dict[Shard, deque[_Waiting[I, O]]] = {}
        self._tasks: dict[Shard, asyncio.Task[None]] = {}
        self._last_command = self._last_batch = float("-inf")
        self._commands_waiting = 0
        self._no_command_waits = asyncio.Event()

    async def run(
        self, shard: Shard, inputs: Sequence[I], *, fence: Fence, also: Also[O] | None = None
    ) -> Sequence[O | Refused]:
        """Books a batch of records, all or nothing. `also` writes what belongs to the same transaction (dead letters).

        Raises `Fenced` when another owner has the shard, `DatabaseUnavailable` (the batch may stand: load the stored
        offsets again), or what `book` or `also` raised.
        """
        self._last_batch = time.monotonic()
        for attempt in range(1, ATTEMPTS + 1):
            batch: _Batch[I, O] = _Batch(shard, inputs, fence, also)
            try:
                return await self._transact(batch)
            except CONFLICTS:
                if attempt == ATTEMPTS:
                    raise
                metrics.count("transaction_retries_total")
            except _CommitUnknown as lost:
                if await self._was_committed(shard, fence):
                    self._notify_committed(shard)
                    return batch.outcomes
                _log.warning("commit_lost", shard=shard, error=repr(lost.__cause__))
            except Exception as error:
                if is_unavailable(error):
                    raise DatabaseUnavailable(repr(error)) from error
                raise
            await backoff(attempt)
        raise DatabaseUnavailable("every COMMIT of this batch was lost")

    @property
    def has_commands(self) -> bool:
        """Whether commands come in. A batch of records should then be small: callers wait for their commands."""
        return time.monotonic() - self._last_command < EXPECT_SECONDS

    @property
    def is_busy(self) -> bool:
        """Whether commands or records come in. Work that nobody waits for should then leave them room."""
        return time.monotonic() - max(self._last_command, self._last_batch) < EXPECT_SECONDS

    async def submit(self, shard: Shard, command: I, *, background: bool = False) -> O | Refused:
        """Books one command, in one transaction with others that arrive together. Nobody waits for a command in the
        `background`, so records do not wait for it either.

        Raises `Overloaded`, `DatabaseUnavailable`, `ClockOff` (C1), or what `book` raised for this command.
        """
        if self._clock is not None:
            self._clock.check()
        if background:
            return await self._enqueue(shard, command)
        if len(self._queues.get(shard, ())) >= self._max_waiting:
            metrics.count("commands_shed_total", why="queue")
            raise Overloaded(f"{self._max_waiting} commands wait for members beside this one")
        self._last_command = time.monotonic()
        self._commands_waiting += 1
        self._no_command_waits.clear()
        try:
            return await self._enqueue(shard, command, waits_until=time.monotonic() + WAIT_SECONDS)
        finally:
            self._commands_waiting -= 1
            if not self._commands_waiting:
                self._no_command_waits.set()

    async def yield_to_commands(self) -> None:
        """Returns when no command waits for its answer, after `YIELD_SECONDS` in any case."""
        if self._commands_waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(YIELD_SECONDS):
                    await self._no_command_waits.wait()

    async def _enqueue(self, shard: Shard, command: I, *, waits_until: float = math.inf) -> O | Refused:
        answer: asyncio.Future[O | Refused] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(shard, deque()).append(_Waiting(command, answer, waits_until))
        if shard not in self._tasks:
            self._tasks[shard] = asyncio.create_task(self._serve(shard), name=f"commands-{shard}")
        return await answer

    async def drain(self) -> None:
        """Returns when no command is in flight (the graceful stop)."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def _serve(self, shard: Shard) -> None:
        """Books a shard's waiting commands, batch by batch, until none waits."""
        queue = self._queues[shard]
        try:
            while queue:
                async with self._slots:
                    batch = [queue.popleft() for _ in range(min(len(queue), self._max_batch))]
                    if batch := _still_waiting(batch):
                        await self._answer(shard, batch)
        finally:
            del self._queues[shard], self._tasks[shard]

    async def _answer(self, shard: Shard, batch: list[_Waiting[I, O]]) -> None:
        try:
            outcomes = await self._run_commands(shard, [one.command for one in batch])
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, Unavailable):
                # One command has broken the batch. Each is now booked by itself, so that only this one fails.
                for one in batch:
                    await self._answer(shard, [one])
                return
            for one in batch:
                if not one.answer.done():
                    one.answer.set_exception(error)
        else:
            for one, outcome in zip(batch, outcomes, strict=True):
                if not one.answer.done():
                    one.answer.set_result(outcome)

    async def _run_commands(self, shard: Shard, commands: Sequence[I]) -> Sequence[O | Refused]:
        deadline = time.monotonic() + self._timeout_seconds
        attempt = 0
        while True:
            attempt += 1
            try:
                if (outcomes := await self._try_optimistically(shard, commands)) is not None:
                    return outcomes
                return await self._transact(_Batch(shard, commands))
            except CONFLICTS:
                if attempt >= ATTEMPTS:
                    raise
                metrics.count("transaction_retries_total")
            except Exception as error:
                if not (isinstance(error, _CommitUnknown) or is_unavailable(error)):
                    raise
                if time.monotonic() > deadline:
                    raise DatabaseUnavailable(repr(error)) from error
            await self._pause(attempt)

    async def _pause(self, attempt: int) -> None:
        """Waits before a batch of commands runs again; meanwhile another shard may use the slot."""
        self._slots.release()
        try:
            await backoff(attempt)
        finally:
            await self._slots.acquire()

    async def _try_optimistically(self, shard: Shard, commands: Sequence[I]) -> Sequence[O | Refused] | None:
        if self._optimistic is None:
            return None
        began = time.perf_counter()
        async with self._pool.acquire() as connection:
            outcomes = await self._optimistic(connection, shard, commands)
        if outcomes is not None:
            fault("after_commit")
            self._record_commit(shard, len(commands), began)
        return outcomes

    # ── one transaction ──────────────────────────────────────────────────────────────────────────────────────────

    async def _transact(self, batch: _Batch[I, O]) -> Sequence[O | Refused]:
        """Books a batch in one transaction. Raises `_CommitUnknown` when the answer of COMMIT was lost."""
        began = time.perf_counter()
        async with self._pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                await self._write(connection, batch)
                fault("before_commit")
            except BaseException:
                with suppress(Exception):  # a lost connection has rolled back already
                    await transaction.rollback()
                raise
            await self._commit(connection, transaction)
            fault("after_commit")
        self._record_commit(batch.shard, len(batch.inputs), began)
        return batch.outcomes

    async def _write(self, connection: Connection, batch: _Batch[I, O]) -> None:
        """Everything of a batch: its fence, what `book` writes, what `also` writes."""
        if batch.fence is not None:
            await self._pass_fence(connection, batch.shard, batch.fence)
        if batch.inputs:
            batch.outcomes.extend(await self._book(connection, batch.shard, batch.inputs))
            if len(batch.outcomes) != len(batch.inputs):
                raise AssertionError(f"{len(batch.inputs)} inputs, {len(batch.outcomes)} outcomes")
        if batch.also is not None:
            await batch.also(connection, batch.outcomes)

    async def _pass_fence(self, connection: Connection, shard: Shard, fence: Fence) -> None:
        """Moves all stored offsets of the batch in one statement, or none and raises `Fenced`."""
        status = await connection.execute(_SQL.move, shard, fence.topics, fence.expected, fence.next)
        if status != f"UPDATE {len(fence.topics)}":
            raise Fenced(f"shard {shard}")
        fault("after_fence")

    async def _commit(self, connection: Connection, transaction: Transaction) -> None:
        try:
            await transaction.commit()
        except BaseException as lost:
            if isinstance(lost, Exception) and not is_unavailable(lost):
                raise  # the server refused to commit, and says so
            with suppress(Exception):  # its state is unknown; a lost one has left the pool already
                connection.terminate()
            if isinstance(lost, Exception):
                raise _CommitUnknown from lost
            raise

    async def _was_committed(self, shard: Shard, fence: Fence) -> bool:
        """Whether the transaction that moved this fence was committed. Waits until it has ended either way."""
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

    def _record_commit(self, shard: Shard, inputs: int, began: float) -> None:
        metrics.observe("transaction_seconds", time.perf_counter() - began)
        metrics.observe("transaction_inputs", inputs)
        self._notify_committed(shard)

    def _notify_committed(self, shard: Shard) -> None:
        if self._committed is not None:
            self._committed(shard)
