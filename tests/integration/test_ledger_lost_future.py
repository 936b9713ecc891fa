"""Messages between accounts after a restore, on a real PostgreSQL: what their sender does not know is refused (C3)."""

from __future__ import annotations

from typing import Any

import httpx
from msgspec import structs

from schemas.events import parse_event
from services.kit.cloudevent import HEADERS
from services.kit.kafka import Record
from services.ledger.audit.verify import examine, summarise
from services.ledger.domain.state.outcome import Outcome
from services.ledger.inputs import Sender
from services.ledger.lost_future import UNKNOWN, sender_header, sender_of
from tests.integration.ledger_support import LedgerUnderTest, completed_order, points_of, post
from tests.model import events as shop


async def sent(ledger: LedgerUnderTest, client: httpx.AsyncClient, sender: str, receiver: str) -> Record:
    """The message of a transfer of 700 points that the receiver has not got yet."""
    answer = await post(client, "/v1/transfers", {"from": sender, "to": receiver, "points": 700, "reference": "t1"})
    assert answer.status_code == 202, answer.text
    (message,) = [each for each in await ledger.internal_messages() if each.key == receiver.encode()]
    return message


def told_by(message: Record, **changes: Any) -> Record:
    """A message whose sender's row is another one."""
    sender = sender_of(message.headers)._replace(**changes)
    return structs.replace(message, headers=(*HEADERS, sender_header(sender)))


async def begin_epoch(ledger: LedgerUnderTest) -> None:
    async with ledger.pool.acquire() as connection:
        await connection.execute("INSERT INTO epoch (number) SELECT coalesce(max(number), 0) + 1 FROM epoch")


async def test_mend_b01_a_message_that_its_sender_never_sent_makes_no_points(
    ledger: LedgerUnderTest, client: httpx.AsyncClient, monkeypatch: Any
) -> None:
    monkeypatch.setattr("services.ledger.api.commands.TIMEOUT_SECONDS", 0.1)
    await completed_order(ledger, "l1", "l2")
    message = await sent(ledger, client, "l1", "l2")
    sender = sender_of(message.headers)
    assert (sender.epoch, sender.member_id, sender.version, len(sender.head)) == (0, "l1", 3, 32)
    await begin_epoch(ledger)
    lost = [
        told_by(message, head=bytes(32)),  # the account went another way
        told_by(message, version=9),  # so far it never came
        told_by(message, member_id="l9"),
        structs.replace(message, headers=HEADERS),  # of a release that named no sender
    ]
    for each in lost:
        (outcome,) = await ledger.deliver(each)
        assert isinstance(outcome, Outcome)
        assert (outcome.kind, outcome.detail) == ("refused", "of_a_lost_future")
    assert await points_of(client, "l2") == (1900, 0, 0, 0)
    (outcome,) = await ledger.deliver(message)
    assert isinstance(outcome, Outcome)
    assert outcome.kind == "booked", "the backup has its row"
    assert await points_of(client, "l2") == (2600, 0, 0, 0)
    summary = summarise(*await examine(ledger.settings))
    assert summary["examples"] == []


async def test_C3_what_is_sent_in_an_epoch_names_it(
    ledger: LedgerUnderTest, client: httpx.AsyncClient, monkeypatch: Any
) -> None:
    monkeypatch.setattr("services.ledger.api.commands.TIMEOUT_SECONDS", 0.1)
    await completed_order(ledger, "l3", "l4")
    await begin_epoch(ledger)
    message = await sent(ledger, client, "l3", "l4")
    assert sender_of(message.headers).epoch == await ledger.pool.fetchval("SELECT max(number) FROM epoch")
    assert [each.kind for each in await ledger.deliver(message) if isinstance(each, Outcome)] == ["booked"]
    await ledger.receive(shop.signed_in(shop.d(6), member="l3"), at=shop.d(6))
    async with ledger.pool.acquire() as connection:
        rows = await connection.fetch("SELECT value FROM outbox WHERE topic = 'loyalty.points.v1' ORDER BY id")
    facts: list[Any] = [parse_event(row["value"]) for row in rows]
    epoch = sender_of(message.headers).epoch
    ids = {fact["id"]: fact["data"].get("epoch", 0) for fact in facts}
    transfer, arrival, sign_in = (f"{place}:0:e{epoch}" for place in ("l3:3", "l4:3", "l3:4"))
    assert [ids[fact_id] for fact_id in (transfer, arrival, sign_in)] == [epoch] * 3
    assert all(fact_id.endswith(f":e{number}") == bool(number) for fact_id, number in ids.items())


def test_a_sender_is_read_as_it_was_written() -> None:
    sender = Sender(3, UNKNOWN.shard, "a:b:c", 17, bytes(range(32)))
    assert sender_of((*HEADERS, sender_header(sender))) == sender
    assert sender_of(HEADERS) == UNKNOWN
