"""What passes a bound, on a real PostgreSQL: refused with its reason, and nothing is written of it (O12)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.tokens import Signer
from schemas.events import RefusalReason, Refused
from services.ledger.publication import publish_document
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import LedgerUnderTest, client_of, completed_order, ledger_on, post, refusal
from tests.integration.test_ledger_shortfalls import program, spend_and_cancel
from tests.model import events as shop
from tests.model.table.bounds import LARGEST

MOST = 2**53 - 1


async def rows_of(ledger: LedgerUnderTest, member: str) -> list[Any]:
    """All that is stored of a member."""
    async with ledger.pool.acquire() as connection:
        account = await connection.fetchrow(
            "SELECT a.* FROM account a JOIN identity USING (shard, account) WHERE member_id = $1", member
        )
        assert account is not None
        rows = [account]
        for table in ("journal", "entry", "lot", "orders", "order_lines", "fact"):
            rows += await connection.fetch(
                f"SELECT * FROM {table} WHERE account = $1 ORDER BY 1, 2, 3", account["account"]
            )
        return [*rows, await connection.fetchval("SELECT count(*) FROM outbox")]


async def test_mend_a01_an_order_of_more_than_twelve_digits_is_refused_where_it_is_read(
    ledger: LedgerUnderTest,
) -> None:
    order = shop.paid("o1", shop.d(1), [shop.line("l1", LARGEST), shop.line("l2", "0.01")], member="bounds.order")
    with pytest.raises(Refused) as refused:
        await ledger.receive(order)
    assert (refused.value.reason, refused.value.field) == (RefusalReason.OUT_OF_RANGE, "data.lines")
    assert "12 digits" in refused.value.detail


async def test_mend_a01_what_passes_a_members_bound_changes_nothing_and_the_rest_of_its_batch_is_booked(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    member = "bounds.member"
    await completed_order(ledger, member)
    before = await rows_of(ledger, member)
    too_many = shop.paid("o2", shop.d(5), "10", member=member, id="o2", points_used=MOST, points_value="1")
    too_much = shop.paid("o3", shop.d(5), LARGEST, member=member, id="o3")
    for event, figure in ((too_many, "points"), (too_much, "growth")):
        (refused,) = await ledger.receive(event)
        assert isinstance(refused, Refused)
        assert (refused.reason, refused.field) == (RefusalReason.OUT_OF_RANGE, None)
        assert figure in refused.detail
        assert await rows_of(ledger, member) == before
    fits = shop.paid("o4", shop.d(5), "10", member=member, id="o4")
    first, second, third = await ledger.receive(too_many, fits, too_much)
    assert isinstance(first, Refused)
    assert not isinstance(second, Refused)
    assert isinstance(third, Refused)
    balance = (await client.get(f"/v1/members/{member}/balance")).json()
    assert (balance["available"], balance["pending"], balance["debt"]) == (1900, 10, 0)
    # It may come again once there is room, for nothing is known of it.
    again = await ledger.receive(too_many | {"data": too_many["data"] | {"points_used": 10}})
    assert not isinstance(again[0], Refused)


async def test_mend_a01_a_cart_beyond_the_bound_is_not_priced(client: httpx.AsyncClient) -> None:
    lines = [{"line_id": str(n), "sku": "a", "quantity": 1, "amount": LARGEST} for n in range(2)]
    answer = await client.post("/v1/quotes", json={"currency": "CNY", "lines": lines})
    assert refusal(answer) == (422, "cart-too-large")
    assert answer.json()["field"] == "lines"


async def test_mend_a01_what_lowers_a_figure_beyond_its_bound_is_booked(ledger: LedgerUnderTest) -> None:
    """An account of an older release may be beyond a bound: refunds and cancellations go on."""
    member = "bounds.older"
    await completed_order(ledger, member)
    await ledger.tamper(
        f"UPDATE account SET redeemed = {MOST} + 1 FROM identity "
        f"WHERE identity.account = account.account AND member_id = '{member}'"
    )
    (refunded,) = await ledger.receive(shop.refunded("o1", shop.d(5), "100", member=member, id="r"))
    assert not isinstance(refunded, Refused)
    (earned,) = await ledger.receive(shop.signed_in(shop.d(5), member=member, id="in"))
    assert isinstance(earned, Refused)


async def test_mend_a01_a_command_beyond_the_bound_is_answered_so_and_may_come_again(
    make_database: MakeDatabase, jwks_file: Path, signer: Signer
) -> None:
    async with ledger_on(make_database(), publish=False, jwks_file=jwks_file) as ledger:
        async with ledger.pool.acquire() as connection:
            await publish_document(connection, program("review"))
        await spend_and_cancel(ledger)
        path = "/v1/members/m/shortfalls"
        async with client_of(ledger.app(), signer.token(scopes=["ledger:read", "ledger:adjust"])) as client:
            body = {"ref": (await client.get(path)).json()["shortfalls"][0]["ref"], "decision": "take"}
            await ledger.tamper("UPDATE account SET debt = $1", MOST - 10**9)
            before = await rows_of(ledger, "m")
            answer = await post(client, path, body, key="take")
            assert refusal(answer) == (409, "out-of-range")
            assert await rows_of(ledger, "m") == before
            await ledger.tamper("UPDATE account SET debt = 0")
            assert (await post(client, path, body, key="take")).status_code == 200
