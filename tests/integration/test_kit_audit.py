"""Who did what: kept for good, read with audit:read."""

from __future__ import annotations

import httpx
import pytest
from asyncpg import InsufficientPrivilegeError
from pydantic import SecretStr

from deploy.local.tokens import AUDIENCE, ISSUER, Signer
from services.kit import audit
from services.kit.app import build_app
from services.kit.migrate import migrate
from services.kit.postgres import new_pool
from services.kit.worker import Worker
from tests.conftest import as_role
from tests.greeter.service import GreeterSettings
from tests.integration.ledger_support import client_of


def settings_of(database: str, signer: Signer, actor: str | None = "night desk") -> GreeterSettings:
    return GreeterSettings(
        database_url=SecretStr(as_role(database, "greeter")),
        migration_database_url=SecretStr(database),
        kafka_bootstrap_servers="127.0.0.1:1",
        jwks_file=signer.jwks_file,
        jwt_issuer=ISSUER,
        jwt_audience=AUDIENCE,
        actor=actor,
        instance="host-7",
    )


async def test_mend_d04_the_audit_is_read_by_pages_and_changed_by_nobody(database: str, signer: Signer) -> None:
    settings = settings_of(database, signer)
    await migrate(settings, "tests.greeter")
    async with new_pool(settings) as pool:
        async with pool.acquire() as connection:
            for number in range(5):
                by = audit.operator(settings, f"reason {number}")
                await audit.record(connection, by, "program.published", f"shop 2026.{number}")
        app = build_app(Worker(settings, pool, pool), routers=[])
        async with client_of(app, signer.token(subject="auditor", scopes=["audit:read"])) as client:
            first = (await client.get("/v1/audit?limit=3")).json()
            assert [row["object"] for row in first["audit"]] == ["shop 2026.4", "shop 2026.3", "shop 2026.2"]
            newest = first["audit"][0]
            assert (newest["actor"], newest["action"], newest["reason"]) == (
                "night desk",
                "program.published",
                "reason 4",
            )
            assert newest["at"].endswith("Z")
            rest = (await client.get(f"/v1/audit?limit=3&cursor={first['next_cursor']}")).json()
            assert [row["object"] for row in rest["audit"]] == ["shop 2026.1", "shop 2026.0"]
            assert rest["next_cursor"] is None
            assert (await client.get("/v1/audit?cursor=none")).status_code == 422
            assert (await client.get("/v1/audit?limit=1000")).status_code == 422
        async with client_of(app, signer.token(scopes=["ledger:read"])) as client:
            assert (await client.get("/v1/audit")).status_code == 403
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://greeter") as client:
            assert (await client.get("/v1/audit")).status_code == 401
        for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"):
            with pytest.raises(InsufficientPrivilegeError):
                await pool.execute(statement)


def test_mend_d04_a_command_is_somebodys(database: str, signer: Signer) -> None:
    assert audit.operator(settings_of(database, signer), "why") == ("night desk", "why")
    unnamed = audit.operator(settings_of(database, signer, actor=None))
    assert unnamed.actor.endswith("@host-7")
    assert len(unnamed.actor) > len("@host-7")
