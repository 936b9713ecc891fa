"""What tiering keeps of a member, and how an input changes it.

`decide` is the whole of tiering's behaviour: state and input in, state and outcome out. Its result depends
on what was told, never on the order in which it was told (T9, O6): each telling of an order replaces the one
before it, and the history is read anew over what is known then.

Reading anew stays cheap however long a member buys. The orders told longest ago are *settled*: they are
stored one by one, and the state keeps only the position (`base`) up to the last of their entries. As long as
nothing at or before that instant changes, reading the later entries from that position gives exactly what
reading everything would. When something there does change, the fold needs all orders of the member
(`Need.ALL`), and starts from nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Literal, NamedTuple, assert_never

import msgspec

from services.kit.calendar import Micros
from services.tiering.domain.history import START, Entry, Position, climb
from services.tiering.domain.program import Versions

OPEN_ORDERS = 64
"""A member with more open orders than this has the oldest settled …"""
KEPT_OPEN = 32
"""… until this many are left, so that settling happens once in 32 orders."""

OrderKey = str
"""Shop and order id in one, as `order_key` joins them: an order is (subject, shop, order_id)."""

Kind = Literal["enrolled", "upgraded", "downgraded", "kept"]


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
    """The last that was told of an order."""

    version: int
    event_no: int
    entries: tuple[Entry, ...]
    """In the canonical form of `history.timeline`."""


class Member(msgspec.Struct, array_like=True):
    """The state of one member; msgpack of this is what the store keeps."""

    version: int = 0
    """Decisions made so far: the `member_version` of the facts."""
    enrolled_at: Micros | None = None
    """The least business time of an enrolment told; None for who only ordered (T10)."""
    position: Position = START
    base: Position = START
    """The position up to which orders are settled; at None when none is."""
    orders: dict[OrderKey, Order] = {}
    """Open orders: their entries may be on either side of the base."""


class Qualified(NamedTuple):
    """The ledger told an order's whole dated timeline; it replaces what was told of that order before."""

    member_id: str
    key: OrderKey
    order: Order
    cause: Cause


class Enrolment(NamedTuple):
    """The member joined at `cause.time` (T10)."""

    member_id: str
    cause: Cause


Input = Qualified | Enrolment


class Fact(NamedTuple):
    """One thing to tell others, with the figures of the moment it was decided."""

    kind: Kind
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
    """How much of a member's settled orders an input asks for."""

    NOTHING = 0
    ORDER = 1
    ALL = 2


def order_key(shop: str, order_id: str) -> OrderKey:
    """One key for (shop, order_id); the contracts allow no control characters in either."""
    return f"{shop}\x1f{order_id}"


def split_key(key: OrderKey) -> tuple[str, str]:
    """The shop and the order id of a key."""
    shop, _, order_id = key.partition("\x1f")
    return shop, order_id


def needs(versions: Versions, member: Member, told: Input, settled: Mapping[OrderKey, Order] | None) -> Need:
    """What must be fetched before `decide`; `settled` is what has been fetched so far, None for nothing.

    Ask first with None, then with the member's settled order of that key (or an empty mapping).
    """
    if member.base.at is None:
        return Need.NOTHING
    match told:
        case Qualified(_, key, order, _):
            known = member.orders.get(key)
            if known is None:
                if settled is None:
                    return Need.ORDER
                known = settled.get(key)
            if known is not None and not _newer(order, known):
                return Need.NOTHING
            before = _until(member.base.at, known.entries) if known else ()
            return Need.NOTHING if _until(member.base.at, order.entries) == before else Need.ALL
        case Enrolment(_, cause):
            moves = member.enrolled_at is None or cause.time < member.enrolled_at
            return Need.ALL if versions.count_enrolment and moves else Need.NOTHING
    assert_never(told)


def decide(
    versions: Versions,
    member: Member,
    told: Input,
    settled: Mapping[OrderKey, Order],
    *,
    whole: bool,
) -> Decision | None:
    """Book one input on a member's state; None when it changes nothing that others need to know.

    `settled` holds the settled orders that were fetched, `whole` says that it holds all of them. The state is
    assigned only after everything is computed: an error leaves it as it was.
    """
    match told:
        case Qualified():
            return _qualified(versions, member, told, settled, whole)
        case Enrolment():
            return _enrolled(versions, member, told, settled, whole)
    assert_never(told)


def settle(member: Member, versions: Versions) -> dict[OrderKey, Order]:
    """Move the orders told longest ago out of a state that has grown too large, and return them."""
    if len(member.orders) <= OPEN_ORDERS:
        return {}
    oldest = sorted(member.orders.items(), key=lambda item: (item[1].version, item[1].event_no))
    leaving = dict(oldest[: len(oldest) - KEPT_OPEN])
    last = max((order.entries[-1].at for order in leaving.values() if order.entries), default=None)
    if last is not None and (member.base.at is None or last > member.base.at):
        between = [e for e in _after(member.base, member.orders.values()) if e.at <= last]
        member.base = climb(versions, member.enrolled_at, member.base, between)
    elif member.base.at is None:
        # Only orders without entries leave: the base still has to say that something is settled.
        member.base = START._replace(at=0)
    for key in leaving:
        del member.orders[key]
    return leaving


def _qualified(
    versions: Versions, member: Member, told: Qualified, settled: Mapping[OrderKey, Order], whole: bool
) -> Decision | None:
    known = member.orders.get(told.key) or settled.get(told.key)
    if known is not None and not _newer(told.order, known):
        return None
    new, old = told.order.entries, known.entries if known else ()
    last = member.position.at
    if new[: len(old)] == old and (len(new) == len(old) or last is None or new[len(old)].at > last):
        # The usual telling only adds what is later than everything known: read on from there.
        position = climb(versions, member.enrolled_at, member.position, new[len(old) :])
        decision = _change(versions, member, position, told.cause, ())
        member.orders[told.key] = told.order
    else:
        base, orders = member.base, member.orders.copy()
        if base.at is not None and _until(base.at, new) != _until(base.at, old):
            base, orders = _from_the_start(member, settled, whole)
        orders[told.key] = told.order
        position = climb(versions, member.enrolled_at, base, _after(base, orders.values()))
        decision = _change(versions, member, position, told.cause, ())
        member.base, member.orders = base, orders
    member.position = position
    if decision is not None:
        member.version = decision.version
    return decision


def _enrolled(
    versions: Versions, member: Member, told: Enrolment, settled: Mapping[OrderKey, Order], whole: bool
) -> Decision | None:
    at = told.cause.time
    first = member.enrolled_at is None
    if member.enrolled_at is not None and at >= member.enrolled_at:
        return None
    base, orders, position = member.base, member.orders, member.position
    if versions.count_enrolment:
        if base.at is not None:
            base, orders = _from_the_start(member, settled, whole)
        position = climb(versions, at, base, _after(base, orders.values()))
    facts = (Fact("enrolled", 0, position.tier, member.position.tier, at),) if first else ()
    decision = _change(versions, member, position, told.cause, facts)
    member.base, member.orders, member.position, member.enrolled_at = base, orders, position, at
    if decision is not None:
        member.version = decision.version
    return decision


def _from_the_start(
    member: Member, settled: Mapping[OrderKey, Order], whole: bool
) -> tuple[Position, dict[OrderKey, Order]]:
    """All orders of a member open again, for reading everything anew."""
    if not whole:
        raise AssertionError("the settled past changes and is not at hand: `needs` was not asked")
    # Sorted, so that a state does not depend on where its orders came from (O7).
    return START, dict(sorted({**settled, **member.orders}.items()))


def _change(
    versions: Versions, member: Member, position: Position, cause: Cause, facts: tuple[Fact, ...]
) -> Decision | None:
    """The decision that a new position makes: one fact, for the last tier, however many were jumped (T2)."""
    before, version = member.position, None
    if not position.says_the_same(before):
        version = position.reached[-1].program_version if position.reached else None
        kind: Kind = "kept"
        if position.tier != before.tier:
            rank = versions.at(cause.time).ladder.rank_of
            new, old = (rank(p.tier, p.reached[-1].rank) if p.reached else 0 for p in (position, before))
            kind = "upgraded" if new > old else "downgraded"
        effective_at = cause.time if position.since is None else position.since
        facts = (*facts, Fact(kind, len(facts), position.tier, before.tier, effective_at))
    if not facts:
        return None
    return Decision(member.version + 1, cause, position, facts, version or versions.at(cause.time).version)


def _newer(order: Order, known: Order) -> bool:
    return (order.version, order.event_no) > (known.version, known.event_no)


def _until(instant: Micros, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    return tuple(entry for entry in entries if entry.at <= instant)


def _after(base: Position, orders: Iterable[Order]) -> list[Entry]:
    """The entries of all orders later than a position, by time."""
    if base.at is None:
        return sorted(entry for order in orders for entry in order.entries)
    return sorted(entry for order in orders for entry in order.entries if entry.at > base.at)
