"""What was told before, on a real PostgreSQL: the journal knows it, whoever tells it again and how (O1)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.kit.calendar import later, parse_rfc3339
from services.kit.dead_letter import RefusalReason, Refused
from services.ledger.domain.state.inputs import AnyInput, Completed, Line, LinePart, Paid, Shipped, decode_fields
from services.ledger.domain.state.refs import order_ref
from services.ledger.inputs import Known
from tests.integration.ledger_support import LedgerUnderTest
from tests.model import events as shop


async def head_of(ledger: LedgerUnderTest, member: str) -> tuple[int, bytes]:
    """How many inputs a member's account has journalled, and the head of their chain."""
    async with ledger.pool.acquire() as connection:
        row = await connection.fetchrow(
            "SELECT version, head FROM account JOIN identity USING (shard, account) WHERE member_id = $1", member
        )
    assert row is not None
    return row["version"], row["head"]


@pytest.mark.parametrize("together", [True, False])
async def test_O1_an_event_told_again_is_known_and_with_another_payload_refused(
    ledger: LedgerUnderTest, together: bool
) -> None:
    member = f"told.{together}"
    first, other = (shop.paid("o1", shop.d(1), amount, member=member) for amount in ("900", "901"))
    assert first["id"] == other["id"]
    if together:
        _, again, conflict = await ledger.receive(first, first, other, at=shop.d(1, "10:00:01"))
    else:
        await ledger.receive(first, at=shop.d(1, "10:00:01"))
        before = await head_of(ledger, member)
        (again,) = await ledger.receive(first, at=shop.d(2))
        (conflict,) = await ledger.receive(other, at=shop.d(3))
        assert await head_of(ledger, member) == before
    assert again == Known()
    assert isinstance(conflict, Refused)
    assert (conflict.reason, conflict.field) == (RefusalReason.CONFLICT, "data")
    assert (await head_of(ledger, member))[0] == 1


async def test_mend_a11_a_quantity_spelled_otherwise_is_the_same_event(ledger: LedgerUnderTest) -> None:
    member = "told.spelled"

    def told(quantity: int | str) -> dict[str, Any]:
        return shop.paid("o1", shop.d(1), [shop.line("l1", "900", quantity=quantity)], member=member)

    await ledger.receive(told("1"), at=shop.d(1, "10:00:01"))
    for spelling in ("1.0", 1, "01", "1.000000"):
        assert await ledger.receive(told(spelling)) == [Known()]
    (conflict,) = await ledger.receive(told("1.1"))
    assert isinstance(conflict, Refused)
    assert (await head_of(ledger, member))[0] == 1


async def test_mend_a11_what_an_older_release_journalled_as_it_was_spelled_is_known(ledger: LedgerUnderTest) -> None:
    member, at = "told.older", parse_rfc3339(shop.d(1))
    parts = [shop.part("l1", quantity="1.0")]
    events = [
        shop.paid("o1", shop.d(1), [shop.line("l1", "900", quantity="1.0")], member=member),
        shop.shipped("o1", shop.d(1), parts, member=member),
        shop.completed("o1", shop.d(1), parts, member=member),
    ]
    ledger.now = later(at, 1_000_000)
    ref = order_ref("", "o1")
    sent = [(event["source"], event["id"], at) for event in events]
    named = (LinePart("l1", "1.0"),)
    older: list[AnyInput] = [
        Paid(*sent[0], ref, 0, (Line("l1", "sku-l1", "apparel", "1.0", 90000),), channel=""),
        Shipped(*sent[1], ref, named),
        Completed(*sent[2], ref, named),
    ]
    await ledger.book([(member, input_) for input_ in older])
    assert await ledger.receive(*events) == [Known(), Known(), Known()]


async def test_N7_what_an_older_release_journalled_without_the_goods_is_known(ledger: LedgerUnderTest) -> None:
    """An activity had no `sku` in the journal of the release before; it is the same event all the same (K4)."""
    member, event = "told.favourite", shop.favourite("f1", shop.d(1), member="told.favourite")
    await ledger.receive(event, at=shop.d(1, "10:00:01"))
    row = "SELECT input FROM journal JOIN identity USING (shard, account) WHERE member_id = $1"
    async with ledger.pool.acquire() as connection:
        raw = await connection.fetchval(row, member)
    older = msgspec.msgpack.encode(decode_fields(raw)[:-1])
    change = "UPDATE journal j SET input = $2 FROM identity i WHERE j.account = i.account AND i.member_id = $1"
    await ledger.tamper(change, member, older)
    assert await ledger.receive(event) == [Known()]
    (conflict,) = await ledger.receive(shop.favourite("f2", shop.d(1), id=event["id"], member=member))
    assert isinstance(conflict, Refused)
    withdrawn = shop.activity_withdrawn("favourite", "f1", shop.d(2), member=member)
    assert [each.kind for each in await ledger.receive(withdrawn, at=shop.d(2))] == ["booked"]  # type: ignore[union-attr]
