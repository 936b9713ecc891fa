"""What the ledger tells the outside of an outcome: `loyalty.points.*` and `loyalty.order.qualified`.

One event for each kind of movement and rule of an input, rendered straight to bytes (a test proves that what is
rendered validates). Ids are the member, the account's version and the place among that version's events, so a repeat
is recognised and the outdated dropped.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from services.kit.calendar import NEVER, rfc3339
from services.kit.cloudevent import HEADERS, structured
from services.kit.money import decimal_string
from services.kit.outbox import OutboxRow
from services.ledger.answers import given_of, order_json
from services.ledger.domain.batch import NewJournalRow
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.entries import Entry, EntryKind, last_day
from services.ledger.domain.state.fact_keys import REDEMPTION
from services.ledger.domain.state.holds import Hold
from services.ledger.domain.state.inputs import ReceivePoints, SendPoints
from services.ledger.domain.state.outcome import SOURCE, Expiring, OrderQualified
from services.ledger.domain.state.refs import order_of
from services.ledger.domain.state.rewards import Issue
from services.ledger.events.inbound import TYPES

TOPIC: Final = "loyalty.points.v1"
_COVERS: Final = {
    "available": "available",
    "pending": "pending",
    "debt": "debt",
    "expired": "forgiven",
    "held": "held",
    "written_off": "written_off",
}


def render_facts(shard: int, member_id: str, row: NewJournalRow, programs: ProgramVersions) -> list[OutboxRow]:
    """The events of one journal row, in order: points first, then timelines."""
    outcome = row.outcome
    if not (outcome.entries or outcome.qualified or outcome.expiring or outcome.issued):
        return []
    input_ = row.arrival.input_
    time = rfc3339(input_.at)
    cause = {"type": TYPES[row.type], "source": input_.source, "id": input_.id, "time": time}
    key, version = member_id.encode(), row.version
    told: list[tuple[str, dict[str, Any]]] = []
    if outcome.entries or outcome.expiring:
        available, pending, held, debt = row.balance
        balance = {"available": available, "pending": pending, "held": held, "debt": debt}
        told += [(f"loyalty.points.{kind}.v1", data) for kind, data in _movements(row, programs)]
        if outcome.expiring is not None:
            told.append(("loyalty.points.expiring.v1", _expiring(outcome.expiring, programs)))
        for kind, data in told:
            if kind == "loyalty.points.held.v1" and isinstance(outcome.reply, Hold):
                data["hold_expires_at"] = rfc3339(outcome.reply.expires_at)
            elif isinstance(input_, SendPoints | ReceivePoints) and kind == "loyalty.points.transferred.v1":
                data["transfer_id"] = input_.transfer
                data["counterpart"] = input_.to if isinstance(input_, SendPoints) else input_.sender
            data["balance"] = balance
            data["cause"] = cause | data["cause"]
    told += [("loyalty.reward.issued.v1", _issued(issue, cause, programs)) for issue in outcome.issued]
    told += [("loyalty.order.qualified.v1", _timeline(order)) for order in outcome.qualified]
    rows = []
    for number, (kind, data) in enumerate(told):
        data["member_version"], data["event_no"] = version, number
        value = structured(
            id=f"{member_id}:{version}:{number}",
            source=SOURCE,
            type=kind,
            subject=member_id,
            time=time,
            data=data,
        )
        rows.append(OutboxRow(shard, TOPIC, key, value, HEADERS))
    return rows


def _movements(row: NewJournalRow, programs: ProgramVersions) -> list[tuple[str, dict[str, Any]]]:
    """Entries summed by kind, rule and what they are about; debt paid goes with what paid it."""
    sums: dict[tuple[EntryKind, str, str], dict[str, Any]] = {}
    paid: dict[tuple[str, str], int] = {}
    for entry in row.outcome.entries:
        kind: EntryKind = entry.kind
        if entry.ref.startswith(REDEMPTION):
            # What waits for its stock has left the member; the grant itself moves nothing more.
            if (entry.debit, entry.credit) == ("in_transit", "redeemed"):
                continue
            if kind == "transferred":
                kind = "redeemed" if entry.credit == "in_transit" else "returned"
        if kind == "debt_paid":
            paid[entry.rule, entry.ref] = paid.get((entry.rule, entry.ref), 0) + entry.points
            continue
        if kind == "forgiven":
            kind = "clawed_back"
        data = sums.get((kind, entry.rule, entry.ref))
        if data is None:
            data = sums[kind, entry.rule, entry.ref] = {
                "points": 0,
                "cause": _cause(entry, programs.by_number[entry.program].version),
                **given_of(entry.ref),
            }
        data["points"] += -entry.points if (kind, entry.credit) == ("transferred", "in_transit") else entry.points
        last = last_day(entry.lot[0], row.sliding_last_days)
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
    for (kind, rule, ref), data in sums.items():
        if kind in ("earned", "confirmed", "returned", "released", "transferred") and (rule, ref) in paid:
            data["debt_paid"] = data.get("debt_paid", 0) + paid.pop((rule, ref))
    return [(kind, data) for (kind, _, _), data in sums.items()]


def _expiring(near: Expiring, programs: ProgramVersions) -> dict[str, Any]:
    return {
        "points": near.points,
        "cause": {"program_version": programs.by_number[near.program].version},
        "expires_on": date.fromordinal(near.day).isoformat(),
        "days_left": near.days_left,
    }


def _issued(issue: Issue, cause: dict[str, Any], programs: ProgramVersions) -> dict[str, Any]:
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


def _cause(entry: Entry, version: str) -> dict[str, Any]:
    return {"rule": entry.rule, "program_version": version, **order_json(entry.ref)}


def _timeline(qualified: OrderQualified) -> dict[str, Any]:
    shop, order_id = order_of(qualified.order) or ("", qualified.order)
    return {
        "order_id": order_id,
        "shop": shop,
        "paid_at": rfc3339(qualified.paid_at),
        "timeline": [
            {
                "at": rfc3339(turn.at),
                "amount": decimal_string(turn.amount, qualified.decimals),
                "orders": turn.orders,
                "cause": turn.cause,
            }
            for turn in qualified.timeline
        ],
    }
