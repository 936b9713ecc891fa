"""What no publisher and no client should send: answered by a problem document, never by a 500."""

from __future__ import annotations

import itertools
import re
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest

from deploy.local.tokens import Signer
from services.kit.calendar import later
from services.ledger.store import ANSWERS_KEPT
from tests.integration.ledger_support import LedgerUnderTest, client_of, completed_order, post, refusal
from tests.model import events as shop

# Also the end of a line and U+0000, which no text of PostgreSQL holds.
SCOPES = ["ledger:read", "ledger:spend", "ledger:adjust", "events:write"]
TEXTS = (
    "9999-12-31", "9999-12-30", "0001-01-01", "0001-01-02", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00",
    "9999-12-31T23:59:59.999999Z", "2026-02-30", "2026-03-01T10:00:00Z", "\x00", "a\x00b", "\x7f", "-1", "0",
    "99999999999999999999999", "1.1", "9223372036854775807.32767", "9223372036854775807:32767", "%", "'", "\\", "💣",
    "a" * 3000, "null", "true",
)  # fmt: skip


@pytest.fixture(scope="module")
async def any_client(ledger: LedgerUnderTest, signer: Signer) -> Any:
    async with client_of(ledger.app(), signer.token(scopes=SCOPES)) as made:
        yield made


async def test_mend_a11_no_value_of_a_path_or_query_is_a_500(
    ledger: LedgerUnderTest, any_client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "edge1")
    document = (await any_client.get("/openapi.json")).json()
    bad = []
    for path, operations in document["paths"].items():
        named = operations.get("get", {}).get("parameters", [])
        for parameter, text in itertools.product(named, TEXTS):
            filled, query = path, {}
            for each in named:
                value = text if each["name"] == parameter["name"] else {"member_id": "edge1"}.get(each["name"], "1")
                if each["in"] == "path":
                    filled = filled.replace(f"{{{each['name']}}}", quote(value, safe=""))
                elif each["name"] == parameter["name"]:
                    query[each["name"]] = value
            answer = await any_client.get(filled, params=query)
            if answer.status_code >= 500:
                bad.append((path, parameter["name"], text[:40], answer.status_code))
    assert not bad


async def test_mend_a11_no_end_and_no_beginning_of_time_is_a_500(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "edge2")
    path = "/v1/members/edge2/entries"
    all_ = (await client.get(path)).json()["entries"]
    assert all_
    for query in ({"to": "9999-12-31"}, {"to": "9999-12-30"}, {"from": "0001-01-01"}, {"from": "0001-01-02"}):
        assert (await client.get(path, params=query)).json()["entries"] == all_
    assert (await client.get(path, params={"from": "9999-12-31"})).json()["entries"] == []
    assert (await client.get(path, params={"to": "0001-01-01"})).json()["entries"] == []
    answer = await client.get("/v1/members/edge2/balance", params={"at": "0001-01-01T00:00:00+08:00"})
    assert refusal(answer) == (422, "invalid-request")


@pytest.mark.parametrize("depth", [100, 300, 400, 900, 5_000, 100_000])
@pytest.mark.parametrize("kind", ["application/cloudevents+json", "application/cloudevents-batch+json"])
async def test_mend_a11_what_is_nested_deep_is_no_500(any_client: httpx.AsyncClient, kind: str, depth: int) -> None:
    event = orjson.dumps(shop.signed_in(shop.d(1)) | {"deep": None})
    nested = event.replace(b"null", b"[" * depth + b"]" * depth)
    body = b"[" + event + b"," + nested + b"]" if "batch" in kind else nested
    answer = await any_client.post("/v1/events", content=body, headers={"content-type": kind})
    assert answer.status_code in (400, 422, 503), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    if "batch" in kind and depth == 400:
        assert refusal(answer) == (422, "event-refused")
        assert answer.json()["errors"] == [
            {"field": "[1]", "detail": answer.json()["errors"][0]["detail"], "reason": "not_parsable"}
        ]
    deep = b'{"points": 1, "reference": ' + b"[" * depth + b"]" * depth + b"}"
    headers = {"content-type": "application/json", "Idempotency-Key": "deep"}
    answer = await any_client.post("/v1/members/edge3/holds", content=deep, headers=headers)
    assert answer.status_code in (400, 422)


@pytest.mark.parametrize("reference", ["\\ud800", "\\u0000", "\\ud83d\\ude00"])
async def test_no_text_of_a_body_is_a_500(any_client: httpx.AsyncClient, reference: str) -> None:
    body = b'{"points": 1, "reference": "%s"}' % reference.encode()
    headers = {"content-type": "application/json", "Idempotency-Key": re.sub(r"\W", "", reference)}
    answer = await any_client.post("/v1/members/edge4/holds", content=body, headers=headers)
    assert answer.status_code < 500, answer.text


async def test_mend_a11_a_key_names_one_body_whoever_is_its_sender(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "from1", "from2", "to1", "to2")
    body = {"from": "from1", "to": "to1", "points": 100, "reference": "gift"}
    assert (await post(client, "/v1/transfers", body, key="one")).status_code in (201, 202)
    for other in ({"from": "from2"}, {"to": "to2"}, {"points": 101}, {"reference": "other"}, {"to": "nobody"}):
        assert refusal(await post(client, "/v1/transfers", body | other, key="one")) == (422, "idempotency-key-reused")
    assert (await post(client, "/v1/transfers", body, key="one")).status_code in (201, 202)
    await ledger.deliver()
    balances = [(await client.get(f"/v1/members/{member}/balance")).json() for member in ("from1", "from2", "to1")]
    assert [each["available"] for each in balances] == [1800, 1900, 2000]
    ledger.now = later(ledger.now, ANSWERS_KEPT)
    answer = await post(client, "/v1/transfers", body | {"from": "from2"}, key="one")
    assert answer.status_code in (201, 202)


async def test_mend_a11_a_transfer_that_was_refused_is_refused_again_under_its_key(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "again1")
    body = {"from": "again1", "to": "again2", "points": 100, "reference": "gift"}
    first = await post(client, "/v1/transfers", body, key="stays")
    assert refusal(first) == (404, "receiver-unknown")
    await completed_order(ledger, "again2")
    again = await post(client, "/v1/transfers", body, key="stays")
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert refusal(await post(client, "/v1/transfers", body | {"points": 7}, key="stays"))[0] == 422
    assert (await post(client, "/v1/transfers", body, key="new")).status_code in (201, 202)
    assert refusal(await post(client, "/v1/transfers", body | {"to": "again1"}, key="self")) == (422, "same-member")
