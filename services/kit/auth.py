"""Bearer tokens: who calls, with which scopes, and as which member."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from services.kit.settings import Settings


class Caller(msgspec.Struct, frozen=True):
    """Who calls: the token's subject (the actor of journals), its scopes, and its member when it is a member's."""

    subject: str
    scopes: frozenset[str]
    member: str | None
    claims: Mapping[str, Any]

    def require_member(self, member_id: str) -> None:
        """404 when this is another member's token (a path's `member_id` has been checked already)."""


class Guard(SecurityBase):
    """The one dependency of protected paths: `caller: Annotated[Caller, Security(guard, scopes=["ledger:read"])]`.

    401 without a valid token (WWW-Authenticate says why), 403 without the scope, 404 when the path names another
    member than the token's. It declares the scheme and the scopes in the OpenAPI.
    """

    def __init__(self, settings: Settings) -> None:
        self.model = HTTPBearerModel(bearerFormat="JWT")
        self.scheme_name = "token"

    async def __call__(self, request: HTTPConnection, required: SecurityScopes) -> Caller:
        """The caller of this request."""
        raise NotImplementedError
