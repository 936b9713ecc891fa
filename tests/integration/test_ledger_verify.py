"""`verify` on a real PostgreSQL: it holds for what the ledger wrote, and names whatever was changed behind its back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson
import pytest

from services.kit.calendar import parse_rfc3339
from services.kit.postgres import Connection
from services.ledger.audit import shard as shard_audit
from services.ledger.audit.account import SLICE
from services.ledger.audit.verify import examine, summarise, survey, table, verify
from services.ledger.codecs import register_codecs
from services.ledger.settings import LedgerSettings
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import LedgerUnderTest, ledger_on, ledger_settings
from tests.model import events as shop


async def a_shop_month(ledger: LedgerUnderTest) -> None:
    """Three members with everything the ledger books: pending, confirmed, spent, debt, returns, caps, tiers, parked."""
    for member in ("anna", "bo", "chen"):
        await ledger.receive(shop.registered(shop.d(1), member=member, id=f"{member}:joined"), at=shop.d(1, "10:00:01"))
        await ledger.receive(
            shop.paid("o1", shop.d(1), [shop.line("l1", "500"), shop.line("l2", "400")], member=member, id="o1:paid"),
            shop.paid("o2", shop.d(2), "120", member=member, id="o2:paid"),
            at=shop.d(2, "10:00:01"),
        )
        for day in range(2, 10):
            event = shop.signed_in(shop.d(day), member=member, id=f"{member}:{day}")
            await ledger.receive(event, at=shop.d(day, "10:00:01"))
        await ledger.receive(shop.completed("o1", shop.d(9, "11:00"), member=member), at=shop.d(9, "11:00:01"))
        reviews = [
            shop.review(str(number), shop.d(10), member=member, id=f"{member}:review:{number}") for number in range(4)
        ]
        await ledger.receive(*reviews, at=shop.d(10, "10:00:01"))
        await ledger.tier(member, ("2026-03-09T03:00:00Z", "vip"))
    await ledger.receive(
        shop.paid("o3", shop.d(11), "300", points_used=1500, points_value="15", member="bo", id="o3:paid"),
        shop.refunded("o1", shop.d(12), [shop.part("l1", "500")], member="bo"),
        shop.refunded("o3", shop.d(12, "11:00"), "100", member="bo"),
        shop.refunded("o7", shop.d(12), "10", member="chen", id="o7:refund"),
        at=shop.d(12, "12:00"),
    )
    ledger.now = parse_rfc3339(shop.d(20))
    await ledger.sweep("anna", "bo", "chen")


@pytest.fixture(scope="module")
async def ledger(make_database: MakeDatabase) -> AsyncIterator[LedgerUnderTest]:
    """A ledger in which a month was booked. Who spoils it does so in a transaction that is rolled back."""
    async with ledger_on(make_database()) as under_test:
        await a_shop_month(under_test)
        yield under_test


@pytest.fixture(scope="module")
async def superuser(ledger: LedgerUnderTest) -> AsyncIterator[Connection]:
    """Someone whom no grant keeps from anything."""
    connection = await asyncpg.connect(ledger.dsn, server_settings={"search_path": "ledger"})
    await register_codecs(connection)
    yield connection
    await connection.close()


@asynccontextmanager
async def undone(superuser: Connection) -> AsyncIterator[None]:
    """Whatever is done in here is rolled back."""
    transaction = superuser.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def verified(settings: LedgerSettings, **options: Any) -> dict[str, Any]:
    return summarise(*await examine(settings, **options))


async def test_what_the_ledger_wrote_holds(ledger: LedgerUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.kit.clock.now", lambda: parse_rfc3339(shop.d(45)))
    summary = await verified(ledger.settings)
    assert summary["examples"] == []
    assert summary["ok"]
    assert summary["accounts"] == 3
    assert summary["journal"] > 40
    assert (summary["parked_orders"], summary["parked_too_long"]) == (1, 1)
    points = summary["points"]
    assert (
        points["issued"]
        == sum(points[name] for name in ("available", "pending", "held", "redeemed", "expired")) - (points["debt"])
    )
    assert min(points[name] for name in ("available", "debt", "redeemed")) >= 0
    assert points["redeemed"] == 1000
    assert "All of it holds." in table(summary | {"seconds": 0.1})


async def test_two_processes_and_small_slices_see_the_same(
    ledger: LedgerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await verified(ledger.settings)
    monkeypatch.setattr("services.ledger.audit.verify.ONE_PROCESS_UP_TO", 0)
    shared = await verified(ledger.settings, processes=2)
    monkeypatch.setattr("services.ledger.audit.account.SLICE", 3)
    monkeypatch.setattr(shard_audit, "BLOCK", 2)
    sliced = await verified(ledger.settings, processes=1)
    assert SLICE > 3
    for other in (shared, sliced):
        assert other | {"at": ""} == whole | {"at": ""}


async def test_a_sample_looks_at_so_many_members(ledger: LedgerUnderTest) -> None:
    summary = await verified(ledger.settings, members=2)
    assert (summary["ok"], summary["accounts"]) == (True, 2)


BO = "(SELECT account FROM identity WHERE member_id = 'bo')"

TAMPERED = {
    "an entry's points": (
        f"UPDATE entry SET points = points + 1 WHERE account = {BO} AND version = 3 AND line = 1",
        {"chain", "replay", "totals"},
    ),
    "an entry's reason": (
        f"UPDATE entry SET rule = 'gift' WHERE account = {BO} AND version = 3 AND line = 1",
        {"chain", "replay"},
    ),
    "an entry's time": (
        f"UPDATE entry SET booked_at = booked_at + interval '1 second' WHERE account = {BO} AND version = 3",
        {"entries"},
    ),
    "an entry gone": (
        f"DELETE FROM entry WHERE account = {BO} AND version = 3 AND line = 1",
        {"chain", "replay", "totals"},
    ),
    "an entry made up": (
        f"""INSERT INTO entry SELECT shard, account, 900, 1, booked_at, day, 'issued', 'available', 5, lot_day,
            lot_parent, rule, ref, program FROM entry WHERE account = {BO} AND version = 3 AND line = 1""",
        {"entries", "totals", "lots"},
    ),
    "a move that does not exist": (
        f"UPDATE entry SET debit = 'written_off' WHERE account = {BO} AND version = 3 AND line = 1",
        {"entries", "chain", "totals"},
    ),
    "a journal record": (
        f"UPDATE journal SET record = '\\x94a6626f6f6b6564a09090' WHERE account = {BO} AND version = 2",
        {"chain", "replay"},
    ),
    "a journal input": (
        f"""UPDATE journal SET input = (SELECT input FROM journal WHERE account = {BO} AND version = 3)
            WHERE account = {BO} AND version = 2""",
        {"chain"},
    ),
    "a journal outcome": (
        f"UPDATE journal SET outcome = 'known' WHERE account = {BO} AND version = 2",
        {"chain"},
    ),
    "a journal row gone": (
        f"DELETE FROM journal WHERE account = {BO} AND version = 4",
        {"chain", "entries"},
    ),
    "the last journal row gone, with its entries": (
        f"""WITH last AS (DELETE FROM journal WHERE account = {BO}
                AND version = (SELECT version FROM account WHERE account = {BO}) RETURNING version)
            DELETE FROM entry WHERE account = {BO} AND version = (SELECT version FROM last)""",
        {"chain", "totals"},
    ),
    "an account's total": (
        f"UPDATE account SET available = available + 100 WHERE account = {BO}",
        {"totals", "replay", "books"},
    ),
    "an account's debts": (
        f"UPDATE account SET details = '' WHERE account = {BO}",
        {"replay"},
    ),
    "an account's head": (
        f"UPDATE account SET head = sha256('x') WHERE account = {BO}",
        {"chain"},
    ),
    "an account's due time": (
        f"UPDATE account SET next_due = NULL WHERE account = {BO}",
        {"due"},
    ),
    "an account gone": (
        f"DELETE FROM account WHERE account = {BO}",
        {"identity"},
    ),
    "an identity elsewhere": (
        "UPDATE identity SET shard = (shard + 1) % 16 WHERE member_id = 'bo'",
        {"identity"},
    ),
    "a lot's column": (
        f"UPDATE lot SET available = available + 7 WHERE account = {BO}",
        {"lots"},
    ),
    "a lot gone": (
        f"DELETE FROM lot WHERE account = {BO}",
        {"lots"},
    ),
    "an order's state": (
        f"UPDATE orders SET state = state || '\\xc0' WHERE account = {BO} AND ref = '/o1'",
        {"orders"},
    ),
    "an order's column": (
        f"UPDATE orders SET success_from = NULL WHERE account = {BO} AND ref = '/o1'",
        {"orders"},
    ),
    "an order gone": (
        f"DELETE FROM orders WHERE account = {BO} AND ref = '/o2'",
        {"orders"},
    ),
    "an order's lines": (
        f"""UPDATE order_lines SET lines = (SELECT lines FROM order_lines WHERE account = {BO} AND ref = '/o2')
            WHERE account = {BO} AND ref = '/o1'""",
        {"orders"},
    ),
    "a fact": (
        f"DELETE FROM fact WHERE account = {BO} AND key = 'sign-ins'",
        {"facts"},
    ),
    "a cap's pool": (
        f"UPDATE fact SET value = '\\x9400000000' WHERE account = {BO} AND key LIKE 'cap:review:%'",
        {"facts"},
    ),
    "a program": (
        "UPDATE program SET document = replace(document, '\"points\":100', '\"points\":101')",
        {"programs", "replay"},
    ),
    "a row beyond the shards": (
        "INSERT INTO fact VALUES (99, 1, 'lost', '')",
        {"shards"},
    ),
    "a month taken out": (
        "ALTER TABLE entry DETACH PARTITION entry_2026_03",
        {"months", "chain", "totals"},
    ),
    "a grant": (
        "GRANT DELETE ON journal_2026_03 TO ledger",
        {"grants"},
    ),
}


@pytest.mark.parametrize("change", TAMPERED)
async def test_what_was_changed_behind_its_back_is_named(
    ledger: LedgerUnderTest, superuser: Connection, change: str
) -> None:
    statement, checks = TAMPERED[change]
    async with undone(superuser):
        done = await superuser.execute(statement)
        assert not done.endswith(" 0"), "nothing was changed"
        summary = summarise(*await survey(superuser, ledger.settings))
    assert not summary["ok"]
    broken = {check for check, count in summary["checks"].items() if count}
    assert checks <= broken, summary["examples"]
    named = {example["member"] for example in summary["examples"] if "member" in example}
    assert named <= {"bo", ""} or change in ("a program", "a month taken out"), summary["examples"]
    assert {example["check"] for example in summary["examples"]} == broken


async def test_it_needs_no_more_than_select(ledger: LedgerUnderTest, superuser: Connection) -> None:
    async with undone(superuser):
        await superuser.execute("REVOKE INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ledger FROM ledger")
        await superuser.execute("SET LOCAL ROLE ledger")
        assert summarise(*await survey(superuser, ledger.settings))["ok"]


async def test_a_database_without_tables_is_said_plainly(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ledger_settings(database)
    assert await verify(settings, []) == 1
    assert "migrate" in capsys.readouterr().err
    nowhere = ledger_settings(database, database_url="postgresql://ledger@127.0.0.1:1/nowhere")
    assert await verify(nowhere, []) == 1
    assert "cannot be reached" in capsys.readouterr().err


async def test_the_command_prints_a_table_or_json_and_tells_by_its_exit_code(
    ledger: LedgerUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong in (["--members"], ["--members", "-1"], ["--members", "x"], ["all"]):
        assert await verify(ledger.settings, wrong) == 2
    assert await verify(ledger.settings, ["--json", "--members", "3"]) == 0
    assert orjson.loads(capsys.readouterr().out.splitlines()[-1])["ok"] is True
    await ledger.tamper(f"UPDATE lot SET held = held + 3 WHERE account = {BO}")
    try:
        assert await verify(ledger.settings, []) == 1
    finally:
        await ledger.tamper(f"UPDATE lot SET held = held - 3 WHERE account = {BO}")
    printed = capsys.readouterr().out
    assert "BROKEN lots bo (shard " in printed
    assert "1 broken" in printed
