"""`python -m tests.bench.bare serve`: the yardstick of balance reads, an endpoint that only renders.

The same process, server, app factory, token check and path as the ledger's balance; what it lacks is the balance.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import APIRouter, Response, Security

from services.kit.app import Api
from services.kit.auth import Caller, Guard
from services.kit.part import Part
from services.kit.serve import Service, main
from services.kit.worker import Worker
from services.ledger.api.context import MemberPath
from services.ledger.settings import LedgerSettings

ANSWER = {
    "available": 1_250,
    "pending": 300,
    "held": 0,
    "debt": 0,
    "lifetime": {"earned": 1_250, "redeemed": 0, "expired": 0},
    "expiring": [{"on": "2027-02-28", "points": 450}, {"on": "2027-03-31", "points": 800}],
    "version": 12,
    "as_of": "2026-03-01T00:00:00Z",
}


def wire(worker: Worker[LedgerSettings]) -> Sequence[Part]:
    """Only the API, with one path."""
    router = APIRouter()
    reader: Any = Security(Guard(worker.settings), scopes=["ledger:read"])

    @router.get("/v1/members/{member_id}/balance")
    async def balance(member_id: MemberPath, caller: Caller = reader) -> Response:
        return Response(orjson.dumps({"member_id": member_id, **ANSWER}), media_type="application/json")

    return [Api(worker, routers=[router], title="Bare")]


SERVICE = Service("ledger", "services.ledger", LedgerSettings, wire)

if __name__ == "__main__":
    sys.exit(main(SERVICE))
