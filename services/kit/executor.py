"""Batches of inputs of one shard, each one transaction: `begin; fence; book; commit`.

Kafka's batches come through `run` with the fence that moves their stored offsets; HTTP commands come through `submit`
and share a transaction with those that arrive while one is in flight for their shard (group commit).

A deadlock, a serialization failure or a connection lost before COMMIT runs the whole batch again. A connection lost
*in* COMMIT leaves its outcome open: with a fence the stored offsets say what happened; without one the batch runs
again, and `book` answers from its journal what was booked already.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

import asyncpg
import msgspec

from services.kit.dead_letter import Refused
from services.kit.postgres import Connection

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741


class Book(Protocol[I_contra, O_co]):
    """Books the inputs of one shard in the given transaction and answers one outcome each, in order.

    It may run again for the same inputs, keeps no state outside the transaction, and neither commits nor rolls back.
    A `Refused` outcome of a record becomes a dead letter in the same transaction; that of a command is its answer.
    """

    async def __call__(
        self, tx: Connection, shard: int, inputs: Sequence[I_contra], /
    ) -> Sequence[O_co | Refused]: ...


class Fence(msgspec.Struct, frozen=True):
    """The stored offsets of one shard that a batch moves: `expected` is what this owner last wrote or loaded."""

    topics: list[str]
    expected: list[int]
    next: list[int]


class Fenced(Exception):
    """Another owner has moved the stored offsets of shard {shard}: nothing of the batch was booked here."""


class DatabaseAway(Exception):
    """The database cannot be reached or takes no transactions now; the batch may be tried again."""


class Executor(Generic[I, O]):
    """Makes one transaction of a batch of inputs of one shard."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        book: Book[I, O],
        *,
        committed: Callable[[int], None] | None = None,
        max_batch: int = 1000,
        patience_seconds: float = 5.0,
    ) -> None:
        """`committed(shard)` is called after each COMMIT (it wakes the relay). Commands wait `patience_seconds` for a
        database that is away before they answer `DatabaseAway`."""

    async def run(
        self,
        shard: int,
        inputs: Sequence[I],
        *,
        fence: Fence | None = None,
        also: Callable[[Connection, Sequence[O | Refused]], Awaitable[None]] | None = None,
    ) -> Sequence[O | Refused]:
        """Books a batch, all or nothing. `also` writes what belongs to the same transaction (dead letters).

        Raises `Fenced` when another owner has the shard, `DatabaseAway`, or what `book` raised.
        """
        raise NotImplementedError

    async def submit(self, shard: int, command: I) -> O | Refused:
        """Books one command, sharing a transaction with those that arrive together. Raises `DatabaseAway`."""
        raise NotImplementedError

    async def drain(self) -> None:
        """Returns when no command is in flight (the graceful stop)."""
        raise NotImplementedError
