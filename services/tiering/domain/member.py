"""What tiering keeps of a member, and how an input changes it.

`decide` is the whole of tiering's behaviour: state and input in, state and decision out. Its result depends on
the inputs alone, never on the order in which they arrive (T9, O6): each version of an order's timeline replaces
the one before it, and the history is computed from the timelines known then.

This stays cheap however long a member buys. The orders that were updated longest ago are *settled*: they are
stored one by one, and the state keeps only the position (`base`) up to the last of their entries. As long as
nothing at or before that instant changes, advancing from that position over the later entries gives exactly what
computing everything would. When something there does change, the fold needs all orders of the member
(`Need.ALL`), and starts from nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Final, Literal, NamedTuple, assert_never

import msgspec

from services.kit.calendar import NOT_YET, Micros
from services.tiering.domain.history import START, Position, advance
from services.tiering.domain.program import ProgramVersions
from services.tiering.domain.timeline import Entry

MAX_OPEN_ORDERS: Final = 64
"""A member with more open orders than this has the oldest settled."""
KEPT_OPEN_ORDERS: Final = 32
"""How many orders settling leaves open, so that it happens once in 32 orders."""

OrderKey = str
"""Shop and order id in one, as `order_key` joins them: an order is (subject, shop, order_id)."""

_SEPARATOR: Final = "\x1f"

FactKind = Literal["enrolled", "upgraded", "downgraded", "kept"]


class Cause(NamedTuple):
    """The input that a decision follows from: enough to find it again."""

    type: str
    source: str
    id: str
    time: Micros
    order: OrderKey | None = None
    actor: str | None = None
    """Who called, from the token; None for what came as an event."""


class Order(msgspec.Struct, array_like=True, frozen=True):
    """One version of an order's timeline; of several the one with the greatest (version, event_no) counts."""

    version: int
    """The ledger's version of the member, over epochs as well (`services.kit.epoch`)."""
    event_no: int
    entries: tuple[Entry, ...]
    """In the form that `timeline.canonical` makes."""

    def is_newer_than(self, other: Order) -> bool:
        """Whether the ledger published this version after the other."""
        return (self.version, self.event_no) > (other.version, other.event_no)


BEFORE_ALL_ENTRIES: Final = START._replace(at=NOT_YET)
"""The base of a member whose settled orders have no entries: it only says that something is settled."""


class Member(msgspec.Struct, array_like=True):
    """The state of one member; msgpack of this is what the store keeps."""

    version: int = 0
    """Decisions made so far: the `member_version` of the facts."""
    enrolled_at: Micros | None = None
    """The earliest business time of an enrolment; None for a member who only ordered (T10)."""
    position: Position = START
    base: Position = START
    """The position up to which orders are settled; its `at` is None when no order is."""
    orders: dict[OrderKey, Order] = {}
    """Open orders: their entries may be on either side of the base."""
    erased_at: Micros = NOT_YET
    """The business time up to which the member is erased (Z1)."""
    registered_at: Micros = NOT_YET
    """The business time of the newest registration that counts."""

    @property
    def is_erased(self) -> bool:
        """Whether the member asked to be forgotten and has not registered since."""
        return self.erased_at != NOT_YET and self.registered_at <= self.erased_at


class TimelineReceived(NamedTuple):
    """The ledger published an order's whole dated timeline; it replaces the version known before."""

    member_id: str
    key: OrderKey
    order: Order
    cause: Cause


class Enrolment(NamedTuple):
    """The member joined at `cause.time` (T10): the shop registered them, or somebody called (`is_command`)."""

    member_id: str
    cause: Cause
    is_command: bool = False


class Erasure(NamedTuple):
    """The member is to be forgotten as of `cause.time` (Z1)."""

    member_id: str
    cause: Cause


Input = TimelineReceived | Enrolment | Erasure


class Fact(NamedTuple):
    """One change to publish, as it was at the moment of the decision."""

    kind: FactKind
    event_no: int
    tier: str
    previous_tier: str
    effective_at: Micros


class Decision(NamedTuple):
    """A change of a member's membership or history: one row of the journal, one or more facts out."""

    version: int
    cause: Cause
    position: Position
    facts: tuple[Fact, ...]
    program_version: str
    """The version whose ladder gave the tier held now, or the one in force at the cause."""


class Need(IntEnum):
    """How much of a member's settled orders an input needs."""

    NOTHING = 0
    ORDER = 1
    ALL = 2


def order_key(shop: str, order_id: str) -> OrderKey:
    """One key for (shop, order_id); the contracts allow no control characters in either."""
    return f"{shop}{_SEPARATOR}{order_id}"


def split_key(key: OrderKey) -> tuple[str, str]:
    """The shop and the order id of a key."""
    shop, _, order_id = key.partition(_SEPARATOR)
    return shop, order_id


def needs(versions: ProgramVersions, member: Member, input_: Input, settled: Mapping[OrderKey, Order] | None) -> Need:
    """What must be fetched before `decide`; `settled` is what has been fetched so far, None for nothing.

    Ask first with None, then with the member's settled order of that key (or an empty mapping).
    """
    if member.base.at is None:
        return Need.NOTHING
    match input_:
        case TimelineReceived(_, key, order, _):
            known = member.orders.get(key)
            if known is None:
                if settled is None:
                    return Need.ORDER
                known = settled.get(key)
            if known is not None and not order.is_newer_than(known):
                return Need.NOTHING
            before = _entries_until(member.base.at, known.entries) if known else ()
            return Need.NOTHING if _entries_until(member.base.at, order.entries) == before else Need.ALL
        case Enrolment(_, cause):
            is_earlier = member.enrolled_at is None or cause.time < member.enrolled_at
            return Need.ALL if versions.any_from_enrolment and is_earlier else Need.NOTHING
        case Erasure():
            return Need.NOTHING
    assert_never(input_)


def decide(
    versions: ProgramVersions,
    member: Member,
    input_: Input,
    settled: Mapping[OrderKey, Order],
    *,
    complete: bool,
) -> Decision | None:
    """Book one input on a member's state; None when it changes nothing that others need to know.

    `settled` holds the settled orders that were fetched; `complete` says that these are all of them. The state is
    assigned only after everything is computed: an error leaves it as it was.
    """
    match input_:
        case TimelineReceived():
            return _book_timeline(versions, member, input_, settled, complete)
        case Enrolment():
            return _book_enrolment(versions, member, input_, settled, complete)
        case Erasure():
            # What the ledger reports goes on, for it books nothing that is dated up to the erasure. Of its own,
            # tiering keeps nothing that identifies a person.
            member.erased_at = max(member.erased_at, input_.cause.time)
            return None
    assert_never(input_)


def refuses(member: Member, input_: Input) -> bool:
    """Whether an enrolment is refused because its member is erased: it is dated up to the erasure, or it is a command
    and the shop has not registered the member since (Z1)."""
    if not isinstance(input_, Enrolment) or member.erased_at == NOT_YET:
        return False
    return input_.cause.time <= member.erased_at or (input_.is_command and member.is_erased)


def settle(member: Member, versions: ProgramVersions) -> dict[OrderKey, Order]:
    """Move the orders updated longest ago out of a state that has grown too large, and return them."""
    if len(member.orders) <= MAX_OPEN_ORDERS:
        return {}
    oldest_first = sorted(member.orders.items(), key=lambda item: (item[1].version, item[1].event_no))
    leaving = dict(oldest_first[: len(oldest_first) - KEPT_OPEN_ORDERS])
    last = max((order.entries[-1].at for order in leaving.values() if order.entries), default=None)
    if last is not None and (member.base.at is None or last > member.base.at):
        between = [entry for entry in _entries_after(member.base, member.orders.values()) if entry.at <= last]
        member.base = advance(versions, member.enrolled_at, member.base, between)
    elif member.base.at is None:
        member.base = BEFORE_ALL_ENTRIES
    for key in leaving:
        del member.orders[key]
    return leaving


def _book_timeline(
    versions: ProgramVersions,
    member: Member,
    input_: TimelineReceived,
    settled: Mapping[OrderKey, Order],
    complete: bool,
) -> Decision | None:
    known = member.orders.get(input_.key) or settled.get(input_.key)
    if known is not None and not input_.order.is_newer_than(known):
        return None
    new, old = input_.order.entries, known.entries if known else ()
    last = member.position.at
    if new[: len(old)] == old and (len(new) == len(old) or last is None or new[len(old)].at > last):
        # The usual timeline only adds entries that are later than all known ones: go on from the position.
        position = advance(versions, member.enrolled_at, member.position, new[len(old) :])
        decision = _decision_on(versions, member, position, input_.cause, ())
        member.orders[input_.key] = input_.order
    else:
        base, orders = member.base, member.orders.copy()
        if base.at is not None and _entries_until(base.at, new) != _entries_until(base.at, old):
            base, orders = _reopen_all(member, settled, complete)
        orders[input_.key] = input_.order
        position = advance(versions, member.enrolled_at, base, _entries_after(base, orders.values()))
        decision = _decision_on(versions, member, position, input_.cause, ())
        member.base, member.orders = base, orders
    member.position = position
    if decision is not None:
        member.version = decision.version
    return decision


def _book_enrolment(
    versions: ProgramVersions,
    member: Member,
    input_: Enrolment,
    settled: Mapping[OrderKey, Order],
    complete: bool,
) -> Decision | None:
    at = input_.cause.time
    if refuses(member, input_):
        return None
    if not input_.is_command:
        member.registered_at = max(member.registered_at, at)
    if member.enrolled_at is not None and at >= member.enrolled_at:
        return None
    base, orders, position = member.base, member.orders, member.position
    if versions.any_from_enrolment:
        if base.at is not None:
            base, orders = _reopen_all(member, settled, complete)
        position = advance(versions, at, base, _entries_after(base, orders.values()))
    facts: tuple[Fact, ...] = ()
    if member.enrolled_at is None:
        facts = (Fact("enrolled", 0, position.tier, member.position.tier, at),)
    decision = _decision_on(versions, member, position, input_.cause, facts)
    member.base, member.orders, member.position, member.enrolled_at = base, orders, position, at
    if decision is not None:
        member.version = decision.version
    return decision


def _reopen_all(
    member: Member, settled: Mapping[OrderKey, Order], complete: bool
) -> tuple[Position, dict[OrderKey, Order]]:
    """The base and the open orders of a member of whom nothing is settled any more."""
    if not complete:
        raise AssertionError("a settled order changes, but not all settled orders were fetched: call `needs` first")
    # Sorted, so that a state does not depend on where its orders came from (O7).
    return START, dict(sorted({**settled, **member.orders}.items()))


def _decision_on(
    versions: ProgramVersions, member: Member, position: Position, cause: Cause, facts: tuple[Fact, ...]
) -> Decision | None:
    """The decision that a new position makes: one fact, for the last tier, however many were jumped (T2)."""
    before, version = member.position, None
    if not position.has_same_history(before):
        version = position.reached[-1].program_version if position.reached else None
        kind: FactKind = "kept"
        if position.tier != before.tier:
            rank_of = versions.at(cause.time).ladder.rank_of
            new, old = (rank_of(p.tier, p.reached[-1].rank) if p.reached else 0 for p in (position, before))
            kind = "upgraded" if new > old else "downgraded"
        effective_at = cause.time if position.since is None else position.since
        facts = (*facts, Fact(kind, len(facts), position.tier, before.tier, effective_at))
    if not facts:
        return None
    return Decision(member.version + 1, cause, position, facts, version or versions.at(cause.time).version)


def _entries_until(instant: Micros, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    return tuple(entry for entry in entries if entry.at <= instant)


def _entries_after(base: Position, orders: Iterable[Order]) -> list[Entry]:
    """The entries of all orders later than a position, by time."""
    if base.at is None:
        return sorted(entry for order in orders for entry in order.entries)
    return sorted(entry for order in orders for entry in order.entries if entry.at > base.at)
