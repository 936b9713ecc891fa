"""Quotes over HTTP, on a real PostgreSQL: a cart would earn what its order then books, and nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.local.tokens import Signer
from services.kit.calendar import later, parse_rfc3339, rfc3339
from services.ledger.publication import publish_document
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import DOCUMENT, LedgerUnderTest, client_of, ledger_on, reader_token
from tests.model import events as shop

OFFSET = {
    "points_per_unit": 100,
    "minimum": 100,
    "step": 50,
    "max_share": "0.5",
    "exclude": {"categories": ["gift-card"]},
}
CAMPAIGN = {
    "rule": "spring",
    "on": "order",
    "campaign": {"from": "2026-03-20T00:00:00+08:00", "to": "2026-04-01T00:00:00+08:00", "multiplier": "1.5"},
}
_members = count(1)


@pytest.fixture(scope="module")
async def ledger(make_database: MakeDatabase, jwks_file: Path) -> AsyncIterator[LedgerUnderTest]:
    """The default program with a campaign; points pay up to half of what is no gift card, from 100 on, by 50s."""
    async with ledger_on(make_database(), jwks_file=jwks_file, publish=False) as under_test:
        async with under_test.pool.acquire() as connection:
            document = {**DOCUMENT, "earn": [*DOCUMENT["earn"], CAMPAIGN], "redeem": {"cash_offset": OFFSET}}
            await publish_document(connection, document)
        yield under_test


@pytest.fixture(scope="module")
async def client(ledger: LedgerUnderTest, signer: Signer) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(ledger.app(), reader_token(signer)) as made:
        yield made


def cart(lines: list[shop.Line] | str, **fields: Any) -> dict[str, Any]:
    """A cart; `lines` may be an amount, for the one line l1."""
    return {"currency": "CNY", "lines": [shop.line("l1", lines)] if isinstance(lines, str) else lines, **fields}


async def quoted(client: httpx.AsyncClient, asked: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post("/v1/quotes", json=asked)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def refusal(answer: httpx.Response) -> tuple[int, str, str | None]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    return answer.status_code, body["type"].removeprefix("urn:loyalty:problem:"), body.get("field")


async def member_with_points(ledger: LedgerUnderTest, member: str) -> None:
    """¥900 completed on 5 March: 1,800 points and 100 for the first purchase, until 1 March 2027. It is 5 March."""
    await ledger.receive(
        shop.paid("o1", shop.d(1), "900", member=member, id=f"{member}:paid"), at="2026-03-01T10:00:01+08:00"
    )
    await ledger.receive(
        shop.completed("o1", shop.d(5), member=member, id=f"{member}:completed"), at="2026-03-05T10:00:01+08:00"
    )


async def order(ledger: LedgerUnderTest, member: str, cart: dict[str, Any]) -> None:
    """Pay and receive a cart at this very moment."""
    now = rfc3339(ledger.now)
    paid = shop.paid("quoted", now, cart["lines"], member=member, id=f"{member}:quoted")
    paid["data"] |= {name: cart[name] for name in ("shipping", "tax", "points_used") if cart.get(name)}
    await ledger.receive(paid)
    await ledger.receive(shop.completed("quoted", now, member=member, id=f"{member}:received"))


async def issued(client: httpx.AsyncClient, member: str, since: int) -> dict[str, int]:
    """The points that entries after a version issued, by rule, net of what they took back."""
    points: Counter[str] = Counter()
    for entry in (await client.get(f"/v1/members/{member}/entries?limit=200")).json()["entries"]:
        if int(entry["entry"].partition(".")[0]) > since:
            sign = {"pending": 1, "earned": 1, "clawed_back": -1, "forgiven": -1}.get(entry["kind"], 0)
            points[entry["rule"]] += sign * entry["points"]
    return {rule: total for rule, total in points.items() if total}


amounts = st.one_of(
    st.sampled_from(["0", "199.99", "200", "800", "800.01"]), st.integers(1, 120_000).map(lambda n: f"{n / 100:.2f}")
)
lines = st.lists(st.tuples(amounts, st.sampled_from(["apparel", "gift-card"])), min_size=1, max_size=4).map(
    lambda drawn: [
        shop.line(f"l{number}", amount, category=category) for number, (amount, category) in enumerate(drawn)
    ]
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.sampled_from(["nothing yet", "first order paid", "first order received"]),
    st.sampled_from(["none", "senior", "supreme"]),
    st.fixed_dictionaries({"lines": lines, "shipping": amounts, "tax": amounts}),
    st.integers(0, 100),
    st.sampled_from([1, 20 * 24, 380 * 24]),
)
async def test_a_quote_is_what_is_booked_when_the_order_comes(
    ledger: LedgerUnderTest,
    client: httpx.AsyncClient,
    before: str,
    tier: str,
    cart: dict[str, Any],
    share: int,
    hours: int,
) -> None:
    member = f"drawn-{next(_members)}"
    if before == "first order received":
        await member_with_points(ledger, member)
    else:
        ledger.now = parse_rfc3339(shop.d(5))
        await ledger.receive(shop.signed_in(shop.d(4), member=member, id=f"{member}:in"))
        if before == "first order paid":
            await ledger.receive(shop.paid("o1", shop.d(1), "300", member=member, id=f"{member}:paid"))
    if tier != "none":
        await ledger.tier(member, (shop.d(2), tier))
    # Of what happens meanwhile (orders are confirmed, points expire) nothing is booked when the quote is asked for.
    ledger.now = later(ledger.now, hours * 3_600_000_000)
    asked = {"member_id": member, "currency": "CNY", **cart}
    usable = (await quoted(client, asked))["usable"]["points"]
    asked["points_used"] = used = usable * share // 100 // 50 * 50 if usable * share // 100 >= 100 else 0
    quote = await quoted(client, asked)
    await ledger.sweep(member)
    version = (await client.get(f"/v1/members/{member}/balance")).json()["version"]
    await order(ledger, member, asked)
    assert await issued(client, member, version) == {
        each["rule"]: each["points"] for each in quote["earns"] if each["points"]
    }
    seen = (await client.get(f"/v1/members/{member}/orders/quoted")).json()
    assert seen["facts"]["points_value"] == quote["used"]["value"]
    assert (seen["booked"]["points_used"], seen["alarms"]) == (used, [])
    if quote["earns"][0]["points"]:
        assert seen["booked"]["expires_on"] == quote["earns"][0]["expires_on"]


async def test_a_quote_tells_points_by_rule_with_their_working(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    ledger.now = parse_rfc3339(shop.d(5))
    body = await quoted(client, cart("900", shipping="10"))
    assert (body["member_id"], body["tier"], body["amount"], body["points"]) == (None, "none", "910.00", 1900)
    assert [(each["rule"], each["points"]) for each in body["earns"]] == [("purchase", 1800), ("first-purchase", 100)]
    working = body["earns"][0]["sum"]
    assert (working["amount"], working["exact"], working["points"]) == ("900.00", "1800", 1800)
    assert working["band"] == {"up_to": None, "exclusive": False, "rate": "2"}
    assert body["usable"] == {
        "available": 0, "points": 0, "value": "0.00", "payable": "910.00", "minimum": 100, "step": 50,
    }  # fmt: skip


async def test_N2_a_quote_names_the_multipliers_that_the_cart_meets(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    ledger.now = parse_rfc3339(shop.d(25))
    body = await quoted(client, cart("900"))
    assert (body["earns"][0]["points"], body["earns"][0]["expires_on"]) == (2700, "2027-03-25")
    assert body["earns"][0]["sum"]["multipliers"] == {"tier none": "1", "spring": "1.5"}


async def test_P1_what_points_pay_earns_nothing_and_is_limited_by_the_program(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await member_with_points(ledger, "p1")
    goods = [shop.line("l1", "30"), shop.gift_card("l2", "100")]
    body = await quoted(client, cart(goods, member_id="p1"))
    assert (body["usable"]["points"], body["usable"]["value"], body["usable"]["payable"]) == (1500, "15.00", "30.00")
    used = await quoted(client, cart(goods, member_id="p1", points_used=1000))
    assert (used["points"], used["used"]) == (20, {"points": 1000, "value": "10.00"})
    for points in (50, 120, 1550):
        answer = await client.post("/v1/quotes", json=cart(goods, member_id="p1", points_used=points))
        assert refusal(answer) == (409, "points-not-usable", "points_used")
        assert answer.json()["usable"] == 1500
    answer = await client.post("/v1/quotes", json=cart(goods, member_id="p1", points_used=1950))
    assert refusal(answer) == (409, "insufficient-points", "points_used")


async def test_without_a_cash_offset_what_is_available_may_be_used_and_is_worth_nothing(
    make_database: MakeDatabase, jwks_file: Path, signer: Signer
) -> None:
    async with (
        ledger_on(make_database(), jwks_file=jwks_file, publish=False) as plain,
        client_of(plain.app(), reader_token(signer)) as client,
    ):
        async with plain.pool.acquire() as connection:
            await publish_document(connection, {**DOCUMENT, "redeem": {}})
        await member_with_points(plain, "w1")
        body = await quoted(client, cart("10", member_id="w1"))
        assert (body["usable"]["points"], body["usable"]["value"]) == (1900, "0.00")
        answer = await client.post("/v1/quotes", json=cart("10", member_id="w1", points_used=1901))
        assert refusal(answer) == (409, "insufficient-points", "points_used")


async def test_a_quote_writes_nothing(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await member_with_points(ledger, "n1")
    before = (await client.get("/v1/members/n1/balance")).json()
    await quoted(client, cart("900", member_id="n1", points_used=500))
    assert (await client.get("/v1/members/n1/balance")).json() == before
    assert (await client.get("/v1/members/n1/orders/quote:")).status_code == 404


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"currency": "USD"}, (422, "other-currency", "currency")),
        ({"lines": [shop.line("l1", "9.999")]}, (422, "too-many-decimals", "lines[0].amount")),
        ({"shipping": "0.001"}, (422, "too-many-decimals", "shipping")),
        ({"lines": [shop.line("l1", "1"), shop.line("l1", "2")]}, (422, "line-twice", "lines")),
        ({"lines": []}, (422, "invalid-request", "lines")),
        ({"points_used": -1}, (422, "invalid-request", "points_used")),
        ({"points_used": 2**53 + 1}, (422, "invalid-request", "points_used")),
        ({"member_id": "nobody"}, (404, "member-unknown", None)),
    ],
)
async def test_a_cart_that_cannot_be_priced_is_refused(
    client: httpx.AsyncClient, changes: dict[str, Any], expected: tuple[int, str, str | None]
) -> None:
    assert refusal(await client.post("/v1/quotes", json={**cart("9"), **changes})) == expected


async def test_a_members_token_is_for_its_own_cart(ledger: LedgerUnderTest, signer: Signer) -> None:
    await member_with_points(ledger, "t1")
    async with client_of(ledger.app(), signer.member_token("t1")) as mine:
        assert (await quoted(mine, cart("900")))["member_id"] == "t1"
        assert (await mine.post("/v1/quotes", json=cart("900", member_id="n1"))).status_code == 404
    async with client_of(ledger.app(), signer.token(scopes=["events:write"])) as publisher:
        assert (await publisher.post("/v1/quotes", json=cart("900"))).status_code == 403
