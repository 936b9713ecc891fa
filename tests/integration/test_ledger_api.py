"""The ledger's reading paths over HTTP, on a real PostgreSQL: figures, pages, reasons, and who may see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.tokens import Signer
from services.kit.calendar import later, parse_rfc3339
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import LedgerUnderTest, client_of, completed_order, ledger_on, reader_token
from tests.model import events as shop


async def get(client: httpx.AsyncClient, path: str, **parameters: Any) -> dict[str, Any]:
    answer = await client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


# ── balance ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_balance_has_the_figures_of_the_contract(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await completed_order(ledger, "b1")
    assert await get(client, "/v1/members/b1/balance") == {
        "member_id": "b1",
        "available": 1900,
        "pending": 0,
        "held": 0,
        "debt": 0,
        "lifetime": {"earned": 1900, "redeemed": 0, "expired": 0},
        "expiring": [{"on": "2027-03-01", "points": 1900}],
        "version": 2,
        "as_of": "2026-03-05T02:00:01Z",
    }


async def test_a_balance_in_debt_still_adds_up(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await completed_order(ledger, "b2")
    spent = shop.paid(
        "o2", shop.d(6), "100", member="b2", id="b2:spent", points_used=1900, points_value="19", shop="second"
    )
    await ledger.receive(spent, at=shop.d(6, "10:00:01"))
    await ledger.receive(
        shop.refunded("o1", shop.d(7), "900", member="b2", id="b2:refund"),
        at=shop.d(7, "10:00:01"),
    )
    body = await get(client, "/v1/members/b2/balance")
    assert (body["available"], body["debt"]) == (0, 1900)
    # The first purchase's bonus went with the refund, and what was spent is owed.
    assert body["lifetime"] == {"earned": 0, "redeemed": 1900, "expired": 0}
    assert body["pending"] == 81


async def test_E1_reads_know_what_is_due_whether_or_not_it_was_booked(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "e1")
    ledger.now = parse_rfc3339("2027-03-01T23:59:59.999999+08:00")
    before = await get(client, "/v1/members/e1/balance")
    assert (before["available"], before["version"]) == (1900, 2)
    ledger.now = parse_rfc3339("2027-03-02T00:00:00+08:00")
    after = await get(client, "/v1/members/e1/balance")
    assert (after["available"], after["lifetime"]["expired"], after["expiring"]) == (0, 1900, [])
    assert after["version"] == 2, "a read books nothing"
    lots = await get(client, "/v1/members/e1/lots", spent=True)
    assert lots["lots"][0]["expired"] == 1900
    await ledger.sweep("e1")
    booked = await get(client, "/v1/members/e1/balance")
    assert booked == {**after, "version": 3}


async def test_O8_a_read_confirms_what_nobody_confirmed(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await ledger.receive(shop.paid("o1", shop.d(1), "900", member="o8", id="o8:paid"), at=shop.d(1, "10:00:01"))
    assert (await get(client, "/v1/members/o8/balance"))["pending"] == 1800
    ledger.now = parse_rfc3339("2026-03-17T00:00:00+08:00")
    body = await get(client, "/v1/members/o8/balance")
    assert (body["pending"], body["available"]) == (0, 1900)
    order = await get(client, "/v1/members/o8/orders/o1")
    assert (order["status"], order["due"]) == ("completed", None)
    assert order["timeline"] == [{"at": "2026-03-16T16:00:00Z", "amount": "900.00", "orders": 1, "cause": "due"}]


async def test_the_etag_changes_when_the_answer_would(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await completed_order(ledger, "t1")
    path = "/v1/members/t1/balance"
    first = await client.get(path)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    ledger.now = later(ledger.now, 1_000_000)
    unchanged = await client.get(path, headers={"If-None-Match": f'"other", {tag}'})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", tag)
    assert (await client.get(path, headers={"If-None-Match": tag.removeprefix("W/")})).status_code == 304
    ledger.now = parse_rfc3339("2026-03-06T00:00:00+08:00")
    midnight = await client.get(path, headers={"If-None-Match": tag})
    assert midnight.status_code == 200
    assert midnight.headers["etag"] != tag
    await ledger.receive(shop.signed_in(shop.d(6), member="t1", id="t1:signin"), at=shop.d(6, "10:00:01"))
    more = await client.get(path, headers={"If-None-Match": midnight.headers["etag"]})
    assert (more.status_code, more.json()["available"]) == (200, 1905)


async def test_a_balance_at_a_booking_time_is_what_was_booked_by_then(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "at1")
    path = "/v1/members/at1/balance"
    before = await get(client, path, at="2026-03-05T10:00:00+08:00")
    assert (before["pending"], before["available"], before["version"]) == (1800, 0, 1)
    # A `+` that was not escaped is read as what was meant.
    exactly = (await client.get(f"{path}?at=2026-03-05T10:00:01+08:00")).json()
    now = await get(client, path)
    assert exactly == now
    tag = (await client.get(path, params={"at": "2026-03-02T00:00:00Z"})).headers["etag"]
    again = await client.get(path, params={"at": "2026-03-02T00:00:00Z"}, headers={"If-None-Match": tag})
    assert again.status_code == 304
    assert (await get(client, path, at="2026-02-01T00:00:00Z"))["version"] == 0
    for wrong in ("yesterday", "2026-03-05T10:00:01", "2031-01-01T00:00:00Z"):
        refused = await client.get(path, params={"at": wrong})
        assert (refused.status_code, refused.json()["field"]) == (422, "query.at")


# ── entries ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_entries_are_paged_newest_first_and_complete(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    for day in range(1, 16):
        await ledger.receive(shop.signed_in(shop.d(day), member="p1", id=f"p1:{day}"), at=shop.d(day, "10:00:01"))
    path = "/v1/members/p1/entries"
    everything = await get(client, path, limit=500)
    assert everything["next_cursor"] is None
    paged: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await get(client, path, limit=4, **cursor)
        assert len(page["entries"]) <= 4
        paged += page["entries"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert paged == everything["entries"]
    assert [entry["version"] for entry in paged] == sorted((entry["version"] for entry in paged), reverse=True)
    # 15 days and two streaks of seven.
    assert sum(entry["change"]["available"] for entry in paged) == 15 * 5 + 2 * 30


async def test_entries_by_kind_and_booking_time(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await completed_order(ledger, "k1")
    path = "/v1/members/k1/entries"

    async def kinds(**parameters: str) -> list[str]:
        return [entry["kind"] for entry in (await get(client, path, **parameters))["entries"]]

    assert await kinds() == ["earned", "confirmed", "pending"]
    assert await kinds(kind="pending") == ["pending"]
    assert await kinds(**{"from": "2026-03-05"}) == ["earned", "confirmed"]
    assert await kinds(to="2026-03-01") == ["pending"]
    assert await kinds(to="2026-03-01T10:00:01+08:00") == [], "the end is not included"
    assert await kinds(**{"from": "2026-03-01T10:00:01+08:00", "to": "2026-03-04"}) == ["pending"]
    for wrong in ({"kind": "gift"}, {"limit": "0"}, {"limit": "501"}, {"cursor": "x"}, {"from": "2026-13-01"}):
        assert (await client.get(path, params=wrong)).status_code == 422, wrong


async def test_an_entry_says_what_it_did_and_is_about(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await completed_order(ledger, "k2")
    confirmed = (await get(client, "/v1/members/k2/entries", kind="confirmed"))["entries"][0]
    assert confirmed == {
        "entry": "2.1",
        "version": 2,
        "line": 1,
        "kind": "confirmed",
        "points": 1800,
        "debit": "pending",
        "credit": "available",
        "change": {"pending": -1800, "available": 1800},
        "rule": "purchase",
        "ref": "/o1",
        "shop": "",
        "order_id": "o1",
        "day": "2026-03-01",
        "booked_at": "2026-03-05T02:00:01Z",
        "lot": {"expires_on": "2027-03-01"},
        "program_version": "2026.1",
    }


# ── explanations ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_N4_an_order_is_explained_by_tier_band_multiplier_and_rounding(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await ledger.tier("n4", ("2026-02-01T00:00:00Z", "senior"))
    await ledger.receive(
        shop.paid("o1", shop.d(1), "199.99", member="n4", id="n4:paid"), at="2026-03-01T10:00:01+08:00"
    )
    body = await get(client, "/v1/members/n4/entries/2.1/explanation")
    assert body["sum"] == {
        "tier": "senior",
        "amount": "199.99",
        "basis": "199.99",
        "units": None,
        "band": {"up_to": "200.00", "exclusive": True, "rate": "1"},
        "multipliers": {"tier senior": "1.1"},
        "each_full": None,
        "by_goods": [],
        "stacking": "multiply",
        "exact": "219.989",
        "rounding": "floor",
        "points": 219,
        "cap": None,
        "granted": None,
    }
    assert body["event"]["type"] == "commerce.order.paid.v1"
    assert body["event"]["id"] == "n4:paid"
    assert body["program"]["version"] == "2026.1"
    assert "199.99 × 1 × 1.1 for tier senior = 219.989, rounded (floor) to 219" in body["says"]


async def test_N4_a_true_up_is_explained_by_the_tier_that_holds_now(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    for number in (1, 2):
        await ledger.receive(
            shop.paid(f"o{number}", shop.d(number), f"{number}00", member="tu", id=f"tu:{number}"),
            at=shop.d(number, "10:00:01"),
        )
    await ledger.tier("tu", ("2026-02-01T00:00:00Z", "vip"))
    entries = (await get(client, "/v1/members/tu/entries"))["entries"]
    explained = {
        entry["order_id"]: await get(client, f"/v1/members/tu/entries/{entry['entry']}/explanation")
        for entry in entries
        if entry["rule"] == "tier-true-up"
    }
    assert {order: body["sum"]["points"] for order, body in explained.items()} == {"o1": 120, "o2": 360}
    assert explained["o2"]["entry"]["points"] == 60
    assert explained["o2"]["event"]["type"] == "loyalty.tier.upgraded.v1"


async def test_N4_an_explanation_says_what_later_took_from_the_lot(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "n5")
    await ledger.receive(
        shop.refunded("o1", shop.d(7), "200", member="n5", id="n5:refund"),
        at=shop.d(7, "10:00:01"),
    )
    await ledger.sweep("n5")
    ledger.now = parse_rfc3339("2027-03-02T00:00:00+08:00")
    await ledger.sweep("n5")
    body = await get(client, "/v1/members/n5/entries/2.1/explanation")
    assert [(taken["kind"], taken["points"]) for taken in body["taken_later"]] == [
        ("clawed_back", 750),
        ("expired", 1150),
    ]
    clawback = await get(client, f"/v1/members/n5/entries/{body['taken_later'][0]['entry']}/explanation")
    assert clawback["sum"]["amount"] == "700.00"
    assert clawback["sum"]["points"] == 1050
    expiry = await get(client, f"/v1/members/n5/entries/{body['taken_later'][1]['entry']}/explanation")
    assert expiry["says"] == "1150 points expired: their last day was 2027-03-01."
    assert expiry["sum"] is None


async def test_N4_caps_and_streaks_are_named(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    for day in range(1, 8):
        await ledger.receive(shop.signed_in(shop.d(day), member="n6", id=f"n6:{day}"), at=shop.d(day, "10:00:01"))
    streak = await get(client, "/v1/members/n6/entries/7.2/explanation")
    assert (streak["entry"]["ref"], streak["sum"]["points"], streak["sum"]["units"]) == ("streak:2026-03-07", 30, 7)
    await ledger.receive(shop.review("5", shop.d(8), member="n6", id="n6:review"), at=shop.d(8, "10:00:01"))
    review = await get(client, "/v1/members/n6/entries/8.1/explanation")
    assert (review["sum"]["points"], review["sum"]["cap"]) == (20, 60)


async def test_an_explanation_of_nothing_is_a_problem(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await completed_order(ledger, "n7")
    for entry, status in (("9.1", 404), ("2.9", 404), ("two", 422)):
        answer = await client.get(f"/v1/members/n7/entries/{entry}/explanation")
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"


# ── orders and inputs ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_O3_a_parked_refund_is_shown_until_its_order_comes(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    refund = shop.refunded("o9", shop.d(3), "50", member="pk", id="pk:refund")
    await ledger.receive(refund, at=shop.d(3, "10:00:01"))
    parked = await get(client, "/v1/members/pk/orders/o9")
    assert (parked["status"], parked["parked_at"]) == ("parked", "2026-03-03T02:00:01Z")
    assert parked["facts"]["refunds"][0]["lines"] == [{"line_id": "l1", "amount": "50.00"}]
    became = await get(client, "/v1/inputs", source=shop.ORDERS, id="pk:refund", member_id="pk")
    assert became["inputs"][0]["outcome"] == "parked"
    await ledger.receive(shop.paid("o9", shop.d(1), "150", member="pk", id="pk:paid"), at=shop.d(4, "10:00:01"))
    paid = await get(client, "/v1/members/pk/orders/o9")
    assert (paid["status"], paid["parked_at"], paid["booked"]["pending"]) == ("paid", None, 100)


async def test_an_order_is_found_by_its_shop_and_any_id(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await ledger.receive(
        shop.paid("2026/№ 7", shop.d(1), "100", shop="tmall", member="sh", id="sh:paid"), at=shop.d(1, "10:00:01")
    )
    found = await client.get("/v1/members/sh/orders/2026%2F%E2%84%96%207", params={"shop": "tmall"})
    assert (found.status_code, found.json()["order_id"], found.json()["shop"]) == (200, "2026/№ 7", "tmall")
    lost = await client.get("/v1/members/sh/orders/2026%2F%E2%84%96%207")
    assert (lost.status_code, lost.json()["type"]) == (404, "urn:loyalty:problem:order-unknown")


async def test_an_input_answers_for_each_of_its_tellings(
    ledger: LedgerUnderTest, client: httpx.AsyncClient, signer: Signer
) -> None:
    await ledger.receive(shop.signed_in(shop.d(1), member="in", id="same"), at=shop.d(1, "10:00:01"))
    await ledger.receive(shop.signed_in(shop.d(1, "11:00"), member="in", id="same"), at=shop.d(1, "11:00:01"))
    body = await get(client, "/v1/inputs", source=shop.MEMBERS, id="same", member_id="in")
    assert [(each["outcome"], len(each["entries"])) for each in body["inputs"]] == [("booked", 1), ("known", 0)]
    assert body["inputs"][0]["type"] == "commerce.member.signed_in.v1"
    async with client_of(ledger.app(), signer.member_token("in")) as own:
        assert await get(own, "/v1/inputs", source=shop.MEMBERS, id="same") == body
        others = await own.get("/v1/inputs", params={"source": shop.MEMBERS, "id": "same", "member_id": "pk"})
        assert others.status_code == 404
    nobody = await client.get("/v1/inputs", params={"source": shop.MEMBERS, "id": "same"})
    assert (nobody.status_code, nobody.json()["field"]) == (422, "query.member_id")
    unknown = await client.get("/v1/inputs", params={"source": shop.MEMBERS, "id": "other", "member_id": "in"})
    assert unknown.status_code == 404
    assert "dead letter" in unknown.json()["detail"]


# ── who may see what ─────────────────────────────────────────────────────────────────────────────────────────────────

PATHS = (
    "/v1/members/{}/balance",
    "/v1/members/{}/entries",
    "/v1/members/{}/entries/1.1/explanation",
    "/v1/members/{}/lots",
    "/v1/members/{}/orders/o1",
    "/v1/inputs?source=/shop/orders&id={0}:paid&member_id={0}",
)


@pytest.mark.parametrize("path", PATHS)
async def test_the_token_decides_who_sees_what(ledger: LedgerUnderTest, signer: Signer, path: str) -> None:
    await completed_order(ledger, "who")
    tokens = {
        None: 401,
        "not-a-token": 401,
        signer.token(ttl_s=-60): 401,
        signer.token(scopes=["events:write", "tiering:read"]): 403,
        signer.member_token("another"): 404,
        signer.member_token("who"): 200,
        signer.token(scopes=["ledger:read"]): 200,
    }
    for token, status in tokens.items():
        async with client_of(ledger.app(), token) as client:
            answer = await client.get(path.format("who"))
        assert answer.status_code == status, (token, answer.text)
        if status != 200:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == status
        if status == 401:
            assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", PATHS)
async def test_a_member_of_whom_nothing_is_known_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path.format("nobody"))
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_openapi_names_scopes_answers_and_problems(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/v1/members/{member_id}/balance"]["get"]
    assert operation["security"] == [{"token": ["ledger:read"]}]
    assert {"200", "304", "401", "403", "404", "422", "503"} <= operation["responses"].keys()
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/BalanceOut"}
    assert document["paths"]["/v1/events"]["post"]["security"] == [{"token": ["events:write"]}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            assert "application/problem+json" in operation["responses"]["401"]["content"], path


async def test_no_program_and_no_database_are_said_plainly(
    make_database: MakeDatabase, jwks_file: Path, signer: Signer
) -> None:
    async with ledger_on(make_database(), publish=False, jwks_file=jwks_file) as empty:
        async with client_of(empty.app(), reader_token(signer)) as client:
            assert (await client.get("/v1/members/m/balance")).status_code == 404
            assert (await client.get("/v1/members/m/lots")).status_code == 503
        app = empty.app()
    async with client_of(app, reader_token(signer)) as client:
        for path in ("balance", "entries", "lots"):
            away = await client.get(f"/v1/members/m/{path}")
            assert (away.status_code, away.json()["type"]) == (503, "urn:loyalty:problem:unavailable")
            assert "retry-after" in away.headers
