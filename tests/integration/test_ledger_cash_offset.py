"""How many points may be spent at once, by the program in force, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.program import Program
from services.ledger.publication import publish_document
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import DOCUMENT, LedgerUnderTest, completed_order, ledger_on, post

OFFSET = {"points_per_unit": 100, "minimum": 300, "step": 100}


def with_offset(**changes: Any) -> dict[str, Any]:
    return Program.from_document({**DOCUMENT, "redeem": {"cash_offset": OFFSET}, **changes}).document()


@pytest.fixture(scope="module")
async def ledger(make_database: MakeDatabase, jwks_file: Path) -> AsyncIterator[LedgerUnderTest]:
    async with ledger_on(make_database(), publish=False, jwks_file=jwks_file) as under_test:
        async with under_test.pool.acquire() as connection:
            await publish_document(connection, with_offset())
        await completed_order(under_test, "m1")
        yield under_test


@pytest.mark.parametrize("path", ["holds", "redemptions"])
@pytest.mark.parametrize(
    ("points", "code", "way_out"),
    [
        (299, "below-minimum", "Ask for at least 300 points."),
        (200, "below-minimum", "Ask for at least 300 points."),
        (350, "off-step", "Ask for a multiple of 100 points."),
    ],
)
async def test_points_below_the_minimum_or_off_the_step_are_refused_with_the_way_out(
    client: httpx.AsyncClient, path: str, points: int, code: str, way_out: str
) -> None:
    body = {"points": points, "reference": f"{path}:{points}"}
    answer = await post(client, f"/v1/members/m1/{path}", body)
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (409, f"urn:loyalty:problem:{code}")
    assert (problem["detail"], problem["balance"]["available"]) == (way_out, 1900)


async def test_what_the_program_lets_be_spent_is_spent(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await completed_order(ledger, "m2")
    for path in ("holds", "redemptions"):
        body = {"points": 300, "reference": "cart"}
        answer = await post(client, f"/v1/members/m2/{path}", body)
        assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("path", ["holds", "redemptions"])
async def test_the_refusals_are_in_the_openapi_of_their_paths(ledger: LedgerUnderTest, path: str) -> None:
    described = ledger.app().openapi()["paths"][f"/v1/members/{{member_id}}/{path}"]["post"]["responses"]["409"]
    assert {"below-minimum", "off-step"} <= set(described["description"].split("; "))
