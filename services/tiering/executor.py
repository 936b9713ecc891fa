"""The one write path of tiering: a batch of inputs of one shard becomes one transaction.

Lock and read the members, fetch the few settled orders that the fold asks for, fold input by input, then
write what changed: members, settled orders, journal and facts out. A batch of a thousand usual events is
four statements (add, lock, read, update), and two COPYs where a tier changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from services.kit import outbox
from services.kit.calendar import Micros
from services.kit.kafka import shard_of
from services.kit.outbox import OutboxRow
from services.kit.postgres import Connection
from services.tiering import store
from services.tiering.domain.member import (
    Decision,
    Input,
    Need,
    Order,
    OrderKey,
    Qualified,
    decide,
    needs,
    settle,
)
from services.tiering.domain.program import Versions
from services.tiering.events import outbound
from services.tiering.store import Opened, Settled


class Outcome(NamedTuple):
    """What an input came to, for who sent a command."""

    decision: Decision | None
    enrolled_at: Micros | None
    """The member's enrolment after the input."""
    tier: str
    """The tier held after the input."""


class Booking:
    """Books batches: what the kit's executor calls inside its transaction."""

    def __init__(self, versions: Callable[[], Versions], shards: int) -> None:
        """`versions` gives the program versions known when a batch begins."""
        self._versions = versions
        self._shards = shards

    async def __call__(self, tx: Connection, shard: int, inputs: Sequence[Input]) -> Sequence[Outcome]:
        """Book inputs in order and answer one outcome each.

        A publisher that hashes keys otherwise puts members on partitions of other shards. What it tells of
        them is booked under their own shard, so that a member has one row wherever it is told of.
        """
        versions = self._versions()
        by_shard: dict[int, list[int]] = {}
        for position, told in enumerate(inputs):
            by_shard.setdefault(shard_of(told.member_id, self._shards), []).append(position)
        if list(by_shard) == [shard]:
            return await _book(tx, versions, shard, inputs)
        outcomes: dict[int, Outcome] = {}
        for own_shard in sorted(by_shard):
            positions = by_shard[own_shard]
            booked = await _book(tx, versions, own_shard, [inputs[position] for position in positions])
            outcomes.update(zip(positions, booked, strict=True))
        return [outcomes[position] for position in range(len(inputs))]


class _Account:
    """A locked member during a batch: the state, and what is known of the orders outside of it."""

    def __init__(self, opened: Opened) -> None:
        self.member = opened.member
        self.settled: dict[OrderKey, Order] = {}
        self.asked: set[OrderKey] = set()
        self.whole = opened.member.base.at is None
        """Whether `settled` is all there is; without a base nothing has been settled yet."""
        self.leaving: dict[OrderKey, Order] = {}

    def needs(self, versions: Versions, told: Input) -> Need:
        """What has to be fetched before this input can be decided."""
        if self.whole:
            return Need.NOTHING
        known = not isinstance(told, Qualified) or told.key in self.asked or told.key in self.settled
        return needs(versions, self.member, told, self.settled if known else None)

    def decide(self, versions: Versions, told: Input) -> Decision | None:
        """Book one input, and settle what the state has no room for."""
        decision = decide(versions, self.member, told, self.settled, whole=self.whole)
        for key, order in settle(self.member, versions).items():
            if self.settled.get(key) != order:
                self.settled[key] = self.leaving[key] = order
        return decision


async def _book(tx: Connection, versions: Versions, shard: int, inputs: Sequence[Input]) -> list[Outcome]:
    opened = await store.open_members(tx, shard, sorted({told.member_id for told in inputs}))
    accounts = {member_id: _Account(found) for member_id, found in opened.items()}
    await _fetch(tx, versions, shard, inputs, accounts)
    outcomes: list[Outcome] = []
    decisions: list[tuple[str, Decision]] = []
    for told in inputs:
        account = accounts[told.member_id]
        if account.needs(versions, told):
            # An input before it in this batch has settled what this one changes.
            await _fetch(tx, versions, shard, (told,), accounts)
        decision = account.decide(versions, told)
        if decision is not None:
            decisions.append((told.member_id, decision))
        outcomes.append(Outcome(decision, account.member.enrolled_at, account.member.position.tier))
    leaving = {member_id: account.leaving for member_id, account in accounts.items() if account.leaving}
    await store.save_settled(tx, shard, leaving)
    await store.save_members(tx, shard, opened)
    await store.journal(tx, shard, decisions)
    await _tell(tx, versions, shard, decisions)
    return outcomes


async def _fetch(
    tx: Connection,
    versions: Versions,
    shard: int,
    inputs: Sequence[Input],
    accounts: Mapping[str, _Account],
) -> None:
    """Fetch the settled orders that inputs ask for: first theirs, then, where that is not enough, all."""
    asked = [
        (told.member_id, told.key)
        for told in inputs
        if isinstance(told, Qualified) and accounts[told.member_id].needs(versions, told) == Need.ORDER
    ]
    if asked:
        fetched = await store.settled_orders(tx, shard, asked)
        for member_id, key in asked:
            accounts[member_id].asked.add(key)
        _learn(accounts, fetched)
    whole = {told.member_id for told in inputs if accounts[told.member_id].needs(versions, told) == Need.ALL}
    if whole:
        _learn(accounts, await store.all_settled_orders(tx, shard, sorted(whole)))
        for member_id in whole:
            accounts[member_id].whole = True


def _learn(accounts: Mapping[str, _Account], fetched: Settled) -> None:
    """Add what was fetched; what left a state in this batch is newer than what is stored."""
    for member_id, orders in fetched.items():
        account = accounts[member_id]
        account.settled = {**orders, **account.settled}


async def _tell(tx: Connection, versions: Versions, shard: int, decisions: Iterable[tuple[str, Decision]]) -> None:
    # The row goes by the member's shard: its relay sends a member's facts in the order they were decided.
    rows = [
        OutboxRow(
            shard,
            outbound.TOPIC,
            member_id.encode(),
            outbound.render(member_id, decision, fact, versions.at(decision.cause.time).decimals),
            outbound.HEADERS,
        )
        for member_id, decision in decisions
        for fact in decision.facts
    ]
    if rows:
        await outbox.append(tx, rows)
