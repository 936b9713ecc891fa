"""Tokens, scopes, members and problem documents, on an app of the kit."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.local.tokens import AUDIENCE, ISSUER, Signer
from services.kit import auth
from services.kit.app import build_app, measured
from services.kit.auth import Guard
from services.kit.dead_letter import RefusalReason, Refused
from services.kit.event_sources import EventSources
from services.kit.limits import MAX_BODY, limited
from services.kit.part import State
from services.kit.problem import Kind, Problem, kind
from services.kit.worker import Worker
from tests.greeter.routes import routes
from tests.greeter.service import GreeterSettings

READ = "/v1/members/m-1/hellos"


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer.kept_in(tmp_path / "keys")


def _settings(signer: Signer, **changes: Any) -> GreeterSettings:
    fields: dict[str, Any] = {
        "database_url": "postgresql://none",
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "jwks_file": signer.jwks_file,
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
    }
    return GreeterSettings(**{**fields, **changes})


@pytest.fixture
async def client(signer: Signer) -> AsyncIterator[httpx.AsyncClient]:
    settings = _settings(signer)
    executor: Any = Mock()
    app = build_app(Worker(settings, Mock(), Mock()), routers=[routes(executor, Guard(settings))])
    bounded = limited(app, max_requests=100, max_bodies={})
    transport = httpx.ASGITransport(app=measured(bounded), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://greeter") as client:
        yield client


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"urn:loyalty:problem:{code}"
    assert document["status"] == status
    assert document["title"]
    return document


async def test_a_token_with_the_scope_is_let_in_and_names_the_actor(client: httpx.AsyncClient, signer: Signer) -> None:
    for _ in range(2):  # the second from the cache
        answer = await client.get(READ, headers=_bearer(signer.token(subject="desk-7")))
        assert answer.json() == {"member": "m-1", "actor": "desk-7"}


@pytest.mark.parametrize(
    ("claims", "path", "status"),
    [
        ({"scopes": ["ledger:read"]}, READ, 200),
        ({"scopes": ["ledger:spend"]}, READ, 403),
        ({"scopes": []}, READ, 403),
        ({"scopes": ["ledger:read"], "member": "m-1"}, READ, 200),
        ({"scopes": ["ledger:read"], "member": "m-2"}, READ, 404),
        ({"scopes": ["notify:read"], "member": "m-2"}, READ, 403),
        ({"scopes": ["ledger:read"], "ttl_s": -60}, READ, 401),
        ({"scopes": ["ledger:read"], "member": 7}, READ, 401),
    ],
)
async def test_scopes_and_members(
    claims: dict[str, Any], path: str, status: int, client: httpx.AsyncClient, signer: Signer
) -> None:
    answer = await client.get(path, headers=_bearer(signer.token(**claims)))
    assert answer.status_code == status
    if status == 404:  # no other than for a member that does not exist
        assert _problem(answer, 404, "not-found").keys() == {"type", "title", "status"}
    if status == 403:
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


async def test_without_a_valid_token_401_says_how(client: httpx.AsyncClient, signer: Signer) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    good = signer.token()
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": time.time() + 60, "scope": "ledger:read"}
    forged = {
        "no header": None,
        "another scheme": "Basic abc",
        "no token": "Bearer ",
        "garbage": "Bearer a.b.c",
        "another key": "Bearer " + jwt.encode(claims, other, algorithm="ES256", headers={"kid": signer.key_id}),
        "unknown key": "Bearer " + jwt.encode(claims, other, algorithm="ES256", headers={"kid": "nobody"}),
        "shared secret": "Bearer " + jwt.encode(claims, "s" * 32, algorithm="HS256", headers={"kid": signer.key_id}),
        "none": "Bearer " + jwt.encode(claims, "", algorithm="none"),
        "changed": "Bearer " + good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB"),
        "no exp": "Bearer "
        + jwt.encode(
            {name: value for name, value in claims.items() if name != "exp"},
            signer.private_key,
            "ES256",
            headers={"kid": signer.key_id},
        ),
    }
    for what, header in forged.items():
        answer = await client.get(READ, headers={"Authorization": header} if header else {})
        _problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer"), what


async def test_a_members_token_without_scopes_does_what_members_do(client: httpx.AsyncClient, signer: Signer) -> None:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "m-1", "member": "m-1", "exp": time.time() + 60}
    token = jwt.encode(claims, signer.private_key, "ES256", headers={"kid": signer.key_id})
    assert (await client.get(READ, headers=_bearer(token))).status_code == 200


async def test_a_new_key_is_read_when_a_token_names_it(
    client: httpx.AsyncClient, signer: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "REFRESH_SECONDS", 0.0)
    assert (await client.get(READ, headers=_bearer(signer.token()))).status_code == 200
    second = Signer.kept_in(tmp_path / "more")
    assert (await client.get(READ, headers=_bearer(second.token()))).status_code == 401
    both = [json.loads(path.read_text())["keys"][0] for path in (signer.jwks_file, second.jwks_file)]
    signer.jwks_file.write_text(json.dumps({"keys": both}))
    assert (await client.get(READ, headers=_bearer(second.token()))).status_code == 200


async def test_mend_d02_a_withdrawn_key_ends_when_the_set_is_read_anew(
    signer: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(auth, "READ_AGAIN_SECONDS", 0.05)
    guard = Guard(_settings(signer))
    header = f"Bearer {signer.token()}"
    assert (await guard.verify(header)).subject == "shop"
    signer.jwks_file.write_text(Signer.kept_in(tmp_path / "more").jwks_file.read_text())
    await asyncio.sleep(0.2)  # nobody sends an unknown key, and the token is remembered as good
    with pytest.raises(Problem, match="unauthenticated"):
        await guard.verify(header)


async def test_mend_d02_keys_that_cannot_be_read_any_more_are_trusted_for_an_hour(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(auth, "READ_AGAIN_SECONDS", 0.05)
    guard = Guard(_settings(signer))
    header = f"Bearer {signer.token()}"
    await guard.verify(header)
    signer.jwks_file.unlink()
    await asyncio.sleep(0.2)
    assert (await guard.verify(header)).subject == "shop"
    monkeypatch.setattr(auth, "KEEP_SECONDS", 0.0)
    await asyncio.sleep(0.2)
    with pytest.raises(Problem, match="unavailable"):
        await guard.verify(header)


@pytest.mark.parametrize(
    ("changes", "claims", "accepted"),
    [
        ({}, {}, True),
        ({}, {"aud": "another-shop"}, False),
        ({}, {"aud": ["another-shop", AUDIENCE]}, True),
        ({}, {"iss": "somebody"}, False),
        ({}, {"aud": None}, False),
        ({"jwt_audience": None}, {}, False),
        ({"jwt_issuer": None}, {}, False),
        ({"jwt_audience": None, "jwt_issuer": None, "development": True}, {"iss": "any", "aud": "any"}, True),
        ({"development": True}, {"aud": "another-shop"}, False),
    ],
)
async def test_mend_d02_issuer_and_audience_are_required(
    changes: dict[str, Any], claims: dict[str, Any], accepted: bool, signer: Signer
) -> None:
    guard = Guard(_settings(signer, **changes))
    header = f"Bearer {signer.token(**claims)}"
    if accepted:
        await guard.verify(header)
    else:
        with pytest.raises(Problem, match="unauthenticated"):
            await guard.verify(header)


def test_mend_d02_a_source_says_its_own_types_alone() -> None:
    sources = EventSources({"/shop/orders": ["commerce.order.*"], "/reviews/*": ["commerce.review.published.v1"]})
    for _ in range(2):  # the second from memory
        sources.check("/shop/orders", "commerce.order.paid.v1")
        sources.check("/reviews/7", "commerce.review.published.v1")
        for source, type_ in (
            ("/shop/orders", "commerce.review.published.v1"),
            ("/shop/orders/2", "commerce.order.paid.v1"),
            ("/reviews/7", "commerce.order.paid.v1"),
            ("/elsewhere", "commerce.order.paid.v1"),
        ):
            with pytest.raises(Refused, match="EVENT_SOURCES") as refused:
                sources.check(source, type_)
            assert (refused.value.reason, refused.value.field) == (RefusalReason.BROKEN_FIELD, "source")
    EventSources({}).check("/anybody", "commerce.order.paid.v1")


async def test_a_body_that_is_wrong_names_the_field_and_repeats_no_value(
    client: httpx.AsyncClient, signer: Signer
) -> None:
    headers = _bearer(signer.token())
    document = _problem(await client.post(READ, json={"n": -5}, headers=headers), 422, "invalid-request")
    assert document["field"] == "n"
    assert document["errors"] == [{"field": "n", "detail": "Input should be greater than or equal to 0"}]
    document = _problem(
        await client.post(READ, content=b"{", headers=headers | {"content-type": "application/json"}),
        400,
        "malformed-request",
    )
    assert document["detail"] == "The body is not JSON."


async def test_a_body_beyond_all_measure_is_turned_away(client: httpx.AsyncClient, signer: Signer) -> None:
    headers = _bearer(signer.token()) | {"content-type": "application/json"}
    _problem(await client.post(READ, content=b"x" * (MAX_BODY + 1), headers=headers), 413, "too-large")


@pytest.mark.parametrize(
    ("claims", "status"),
    [({"ttl_s": -60}, 401), ({"scopes": ["ledger:read"]}, 403), ({"scopes": ["ledger:spend"], "member": "m-2"}, 404)],
)
async def test_mend_c02_the_token_is_checked_before_a_body_is_read(
    claims: dict[str, Any], status: int, client: httpx.AsyncClient, signer: Signer
) -> None:
    async def body() -> AsyncIterator[bytes]:
        pytest.fail("the body was read")
        yield b""

    headers = _bearer(signer.token(**claims)) | {"content-type": "application/json"}
    assert (await client.post(READ, content=body(), headers=headers)).status_code == status


async def test_what_we_did_wrong_says_nothing_of_the_inside(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/break")
    _problem(answer, 500, "internal")
    assert "hunter2" not in answer.text


async def test_paths_and_methods_that_are_not_there_are_problems_too(client: httpx.AsyncClient) -> None:
    _problem(await client.get("/nowhere"), 404, "not-found")
    _problem(await client.delete("/healthz"), 405, "method-not-allowed")


async def test_the_openapi_has_scheme_scopes_and_problems(client: httpx.AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()
    operation = schema["paths"]["/v1/members/{member_id}/hellos"]["post"]
    assert operation["security"] == [{"token": ["ledger:spend"]}]
    assert schema["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert {"401", "403", "422"} <= operation["responses"].keys()
    content = operation["responses"]["422"]["content"]
    assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert "Problem" in schema["components"]["schemas"]
    assert "HTTPValidationError" not in schema["components"]["schemas"]
    assert "security" not in schema["paths"]["/healthz"]["get"]


async def test_health_and_metrics_are_open(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    for path, word in (("/readyz", "ready"), ("/status", "well")):
        answer = await client.get(path)  # nothing was added to check
        assert (answer.status_code, answer.json()["status"]) == (200, word)
    assert (await client.get("/status", headers=_bearer("expired"))).status_code == 200
    assert 'lag_records{worker="0"}' in (await client.get("/metrics")).text


async def test_mend_d03_what_is_wrong_inside_is_for_operators(signer: Signer) -> None:
    async def away() -> State:
        return State(False, "cannot reach db-7.internal", "Bring it back.", {"port": 5432})

    settings = _settings(signer)
    worker = Worker(settings, Mock(), Mock())
    worker.health.add("database", away)
    await worker.health.start()
    await asyncio.sleep(0.01)
    transport = httpx.ASGITransport(app=build_app(worker, routers=[]))
    async with httpx.AsyncClient(transport=transport, base_url="http://greeter") as client:
        for headers in ({}, _bearer("nonsense"), _bearer(signer.token(scopes=["ledger:read"]))):
            for path in ("/readyz", "/status"):
                answer = await client.get(path, headers=headers)
                assert answer.status_code == 503
                assert "database" in answer.text
                assert not any(word in answer.text for word in ("db-7", "Bring", "5432"))
        answer = await client.get("/status", headers=_bearer(signer.token(scopes=["ops:read"])))
        assert answer.json()["workers"]["0"]["database"]["detail"] == "cannot reach db-7.internal"
    await worker.health.stop()


def test_a_code_means_one_problem() -> None:
    assert kind("not-found", "Not found", 404) == Kind("not-found", "Not found", 404)
    with pytest.raises(ValueError, match="not-found"):
        kind("not-found", "Gone", 410)


def test_mend_d02_a_credential_is_bound_to_sources_and_types() -> None:
    caller = auth.Caller("shop", frozenset(), None, {"sources": ["/shop/1"], "types": ["commerce.order.*"]})
    assert caller.may_publish("/shop/1", "commerce.order.paid.v1")
    assert not caller.may_publish("/shop/2", "commerce.order.paid.v1")
    assert not caller.may_publish("/shop/1", "commerce.review.published.v1")
    for claims in ({}, {"sources": ["*"]}, {"types": ["*"]}, {"sources": "/any", "types": "any"}, {"sources": [7]}):
        assert not auth.Caller("shop", frozenset(), None, claims).may_publish("/any", "any")
    assert auth.Caller("shop", frozenset(), None, {"sources": ["*"], "types": ["*"]}).may_publish("/any", "any")
