"""Renders the facts of an outcome: `loyalty.points.*`, `loyalty.reward.issued`, `loyalty.order.qualified` and
`loyalty.order.alarmed`.

An input makes one event for each kind of movement, rule and ref. Events are rendered straight to bytes; a test proves
that they validate. An id is the member, the account's version and the place among that version's events, so a reader
recognises a repeated event and drops an outdated one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from services.kit.calendar import NEVER, Day, rfc3339
from services.kit.cloudevent import HEADERS, structured
from services.kit.epoch import fact_id, numbered
from services.kit.kafka import Shard
from services.kit.money import decimal_string
from services.kit.outbox import OutboxRow
from services.ledger.answers import order_json, ref_json
from services.ledger.domain.batch import NewJournalRow
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.alarms import Alarm
from services.ledger.domain.state.entries import Entry, EntryKind, last_day
from services.ledger.domain.state.fact_keys import REDEMPTION
from services.ledger.domain.state.holds import Hold
from services.ledger.domain.state.inputs import SendPoints
from services.ledger.domain.state.messages import ReceivePoints
from services.ledger.domain.state.outcome import SOURCE, Expiring, OrderQualified
from services.ledger.domain.state.refs import order_of
from services.ledger.domain.state.rewards import Issue
from services.ledger.events.inbound import TYPES

TOPIC: Final = "loyalty.points.v1"
MAX_ALARMS: Final = 100
"""Alarms of one event, so that it stays well below what its readers take; what is more goes out in another."""
_COVERS: Final = {
    "available": "available",
    "pending": "pending",
    "debt": "debt",
    "expired": "forgiven",
    "held": "held",
    "written_off": "written_off",
}
"""The account that points were taken from, and what the event calls it in `from`."""
_Fact = tuple[str, dict[str, Any]]
"""The type of an event and its data."""


def render_facts(
    shard: Shard, member_id: str, row: NewJournalRow, programs: ProgramVersions, epoch: int = 0
) -> list[OutboxRow]:
    """The events of one journal row, in order: points, rewards, timelines, alarms; `epoch` is as in `kit.epoch`."""
    outcome = row.outcome
    if not (outcome.entries or outcome.qualified or outcome.expiring or outcome.issued or outcome.alarmed):
        return []
    input_ = row.arrival.input_
    time = rfc3339(input_.at)
    cause = {"type": TYPES[row.type], "source": input_.source, "id": input_.id, "time": time}
    facts = _points_facts(row, cause, programs) if outcome.entries or outcome.expiring else []
    facts += [("loyalty.reward.issued.v1", _issued_json(issue, cause, programs)) for issue in outcome.issued]
    facts += [("loyalty.order.qualified.v1", qualified_json(qualified)) for qualified in outcome.qualified]
    for ref, alarms in outcome.alarmed.items():
        facts += [
            ("loyalty.order.alarmed.v1", _alarmed_json(ref, alarms[n : n + MAX_ALARMS]))
            for n in range(0, len(alarms), MAX_ALARMS)
        ]
    key, version = member_id.encode(), row.version
    rows = []
    for number, (kind, data) in enumerate(facts):
        data.update(numbered(epoch, version, number))
        value = structured(
            id=fact_id(member_id, epoch, version, number),
            source=SOURCE,
            type=kind,
            subject=member_id,
            time=time,
            data=data,
        )
        rows.append(OutboxRow(shard, TOPIC, key, value, HEADERS))
    return rows


def _points_facts(row: NewJournalRow, cause: dict[str, Any], programs: ProgramVersions) -> list[_Fact]:
    """The `loyalty.points.*` events of a row, each with the balance after it and with the row's cause."""
    outcome, input_ = row.outcome, row.arrival.input_
    available, pending, held, debt = row.balance
    balance = {"available": available, "pending": pending, "held": held, "debt": debt}
    facts = [(f"loyalty.points.{kind}.v1", data) for kind, data in _movements(row, programs)]
    if outcome.expiring is not None:
        facts.append(("loyalty.points.expiring.v1", _expiring_json(outcome.expiring, programs)))
    for kind, data in facts:
        if kind == "loyalty.points.held.v1" and isinstance(outcome.reply, Hold):
            data["hold_expires_at"] = rfc3339(outcome.reply.expires_at)
        elif isinstance(input_, SendPoints | ReceivePoints) and kind == "loyalty.points.transferred.v1":
            data["transfer_id"] = input_.transfer
            data["counterpart"] = input_.to if isinstance(input_, SendPoints) else input_.sender
        data["balance"] = balance
        data["cause"] = cause | data["cause"]
    return facts


def _movements(row: NewJournalRow, programs: ProgramVersions) -> list[tuple[EntryKind, dict[str, Any]]]:
    """(kind, data) of each event about moved points: the entries of one kind, rule and ref are added up."""
    movements: dict[tuple[EntryKind, str, str], dict[str, Any]] = {}
    debt_paid: dict[tuple[str, str], int] = {}
    for entry in row.outcome.entries:
        kind = _published_kind(entry)
        if kind is None:
            continue
        if kind == "debt_paid":
            about = entry.rule, entry.ref
            debt_paid[about] = debt_paid.get(about, 0) + entry.points
            continue
        data = movements.get((kind, entry.rule, entry.ref))
        if data is None:
            data = movements[kind, entry.rule, entry.ref] = {
                "points": 0,
                "cause": _cause_json(entry, programs.by_number[entry.program].version),
                **ref_json(entry.ref),
            }
        _add_entry(data, kind, entry, row.sliding_last_days)
    if debt_paid:
        _add_debt_paid(movements, debt_paid)
    return [(kind, data) for (kind, _, _), data in movements.items()]


def _published_kind(entry: Entry) -> EntryKind | None:
    """The kind under which an entry is published; None if it is not.

    Points that buy a reward leave the member when its stock is asked. What happens to them when the stock grants it
    is no change for the member.
    """
    kind = entry.kind
    if kind == "forgiven":
        return "clawed_back"
    if entry.ref.startswith(REDEMPTION):
        if (entry.debit, entry.credit) == ("in_transit", "redeemed"):
            return None
        if kind == "transferred":
            return "redeemed" if entry.credit == "in_transit" else "returned"
    return kind


def _add_entry(data: dict[str, Any], kind: EntryKind, entry: Entry, sliding_last_days: Sequence[Day]) -> None:
    """Add an entry to the event that it belongs to."""
    data["points"] += -entry.points if (kind, entry.credit) == ("transferred", "in_transit") else entry.points
    last = last_day(entry.lot[0], sliding_last_days)
    if last not in (0, NEVER):
        day = date.fromordinal(last).isoformat()
        # Of several lots, the first to expire is what a member should know.
        data["expires_on"] = min(day, data.get("expires_on", day))
    if kind in ("clawed_back", "redeemed"):
        covered = data.setdefault("from", {})
        part = "expired" if kind == "redeemed" and entry.debit == "expired" else _COVERS[entry.debit]
        covered[part] = covered.get(part, 0) + entry.points
        if entry.debit == "debt":
            data["debt_made"] = data.get("debt_made", 0) + entry.points
    if kind == "returned" and entry.credit == "debt":
        data["debt_paid"] = data.get("debt_paid", 0) + entry.points


def _add_debt_paid(
    movements: dict[tuple[EntryKind, str, str], dict[str, Any]], debt_paid: dict[tuple[str, str], int]
) -> None:
    """Add the debt that was paid, by rule and ref, to the event about the points that paid it."""
    for (kind, rule, ref), data in movements.items():
        if kind in ("earned", "confirmed", "returned", "released", "transferred") and (rule, ref) in debt_paid:
            data["debt_paid"] = data.get("debt_paid", 0) + debt_paid.pop((rule, ref))


def _expiring_json(near: Expiring, programs: ProgramVersions) -> dict[str, Any]:
    return {
        "points": near.points,
        "cause": {"program_version": programs.by_number[near.program].version},
        "expires_on": date.fromordinal(near.day).isoformat(),
        "days_left": near.days_left,
    }


def _issued_json(issue: Issue, cause: dict[str, Any], programs: ProgramVersions) -> dict[str, Any]:
    version = programs.by_number[issue.program].version
    return {
        "redemption_id": issue.redemption,
        "reward": issue.reward,
        "kind": issue.kind,
        "points": issue.points,
        **({"code": issue.code} if issue.code else {}),
        **({"prize": issue.prize} if issue.prize else {}),
        "cause": cause | {"program_version": version},
    }


def _cause_json(entry: Entry, version: str) -> dict[str, Any]:
    return {"rule": entry.rule, "program_version": version, **order_json(entry.ref)}


def _alarmed_json(ref: str, alarms: Sequence[Alarm]) -> dict[str, Any]:
    shop, order_id = order_of(ref) or ("", ref)
    told = [{"kind": alarm.kind, "detail": alarm.detail, "at": rfc3339(alarm.at)} for alarm in alarms]
    return {"order_id": order_id, "shop": shop, "alarms": told}


def qualified_json(qualified: OrderQualified) -> dict[str, Any]:
    """What is said of an order's timeline."""
    shop, order_id = order_of(qualified.order) or ("", qualified.order)
    return {
        "order_id": order_id,
        "shop": shop,
        "paid_at": rfc3339(qualified.paid_at),
        "timeline": [
            {
                "at": rfc3339(change.at),
                "amount": decimal_string(change.amount, qualified.decimals),
                "orders": change.orders,
                "cause": change.cause,
            }
            for change in qualified.timeline
        ],
    }
