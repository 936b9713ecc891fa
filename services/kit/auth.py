"""Bearer tokens: who calls, with which scopes, and as which member.

A token is a JWT signed by a key of the configured set (RS, PS, ES, EdDSA; never a shared secret). Its claims: `sub`
(the actor that journals name), `exp`, `scope` (space-separated), and `member` in a member's own token. A member's
token without `scope` may do what members do for themselves (`MEMBER_SCOPES`).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import jwt
import msgspec
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from services.kit import log
from services.kit.problem import FORBIDDEN, NOT_FOUND, UNAUTHENTICATED, UNAVAILABLE, Problem
from services.kit.settings import Settings

_log = log.get(__name__)

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
MEMBER_SCOPES: Final = frozenset({"ledger:read", "ledger:spend", "tiering:read", "notify:read"})
LEEWAY_SECONDS: Final = 10
CACHED_TOKENS: Final = 10_000
REMEMBER_SECONDS: Final = 60.0
"""A verified token is not verified again for so long (never beyond its `exp`). A withdrawn key works no longer than
that."""
REFRESH_SECONDS: Final = 10.0
"""An unknown key id makes us read the set again, but not more often than this: anyone can send any key id."""


class Caller(msgspec.Struct, frozen=True):
    """Who calls: the token's subject (the actor of journals), its scopes, and its member when it is a member's."""

    subject: str
    scopes: frozenset[str]
    member: str | None
    claims: Mapping[str, Any]

    def require_member(self, member_id: str) -> None:
        """404 when this is another member's token (a path's `member_id` has been checked already)."""
        if self.member is not None and self.member != member_id:
            raise Problem(NOT_FOUND)

    def may_publish(self, source: str, event_type: str) -> bool:
        """Whether a credential is bound to this source and type: its claims `sources` and `types` list what it may
        publish; a `*` at the end of one stands for any rest. Without the claim, everything is allowed."""
        return _allowed(self.claims.get("sources"), source) and _allowed(self.claims.get("types"), event_type)


def _allowed(patterns: Any, value: str) -> bool:
    if patterns is None:
        return True
    return isinstance(patterns, list) and any(
        value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern
        for pattern in patterns
        if isinstance(pattern, str)
    )


class KeySet:
    """The keys that sign tokens, from a JWKS address or file, read again when a token names an unknown key."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.jwks_url
        self._file = settings.jwks_file
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._read_at = -REFRESH_SECONDS
        self._reading = asyncio.Lock()

    async def key(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key of an id; None when the set has none. Without an id: the only key of the set."""
        if key_id not in self._keys:
            await self._refresh()
        return self._keys.get(key_id)

    async def _refresh(self) -> None:
        async with self._reading:
            if time.monotonic() - self._read_at < REFRESH_SECONDS:
                return
            self._read_at = time.monotonic()
            try:
                text = await asyncio.to_thread(self._read)
                found = jwt.PyJWKSet.from_dict(json.loads(text)).keys
            except Exception as error:
                _log.error("key_set_unreadable", error=repr(error))
                if not self._keys:
                    self._read_at = -REFRESH_SECONDS
                    raise Problem(UNAVAILABLE, "The keys that verify tokens cannot be read.") from error
                return
            self._keys = {key.key_id: key for key in found if key.public_key_use in (None, "sig")}
            if len(found) == 1:
                self._keys[None] = found[0]

    def _read(self) -> str:
        if self._file is not None:
            return Path(self._file).read_text("utf-8")
        if self._url is None:
            raise LookupError("neither JWKS_URL nor JWKS_FILE is set")
        with urlopen(self._url, timeout=5) as answer:  # noqa: S310 - the operator's address
            text: str = answer.read().decode()
        return text


class Guard(SecurityBase):
    """The one dependency of protected paths: `caller: Annotated[Caller, Security(guard, scopes=["ledger:read"])]`.

    401 without a valid token (WWW-Authenticate says why), 403 without the scope, 404 when the path names another
    member than the token's. It declares the scheme and the scopes in the OpenAPI.
    """

    def __init__(self, settings: Settings) -> None:
        self.model = HTTPBearerModel(bearerFormat="JWT")
        self.scheme_name = "token"
        self._keys = KeySet(settings)
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._callers: dict[str, tuple[float, Caller]] = {}

    async def __call__(self, request: HTTPConnection, required: SecurityScopes) -> Caller:
        """The caller of this request."""
        caller = await self.verify(request.headers.get("authorization"))
        for scope in required.scopes:
            if scope not in caller.scopes:
                raise Problem(
                    FORBIDDEN,
                    f"The token lacks the scope {scope}.",
                    headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{required.scope_str}"'},
                )
        if caller.member is not None:
            member_id = request.path_params.get("member_id")
            if member_id is not None:
                caller.require_member(member_id)
        return caller

    async def verify(self, authorization: str | None) -> Caller:
        """The caller of an `Authorization` header; a Problem (401) says what is wrong with it."""
        if authorization is None:
            raise _unauthenticated("Send a token: Authorization: Bearer …", challenge="Bearer")
        known = self._callers.get(authorization)
        if known is not None and known[0] > time.time():
            return known[1]
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _unauthenticated("Send a token: Authorization: Bearer …", challenge="Bearer")
        caller, expires = await self._decode(token.strip())
        if len(self._callers) >= CACHED_TOKENS:
            self._callers.clear()
        self._callers[authorization] = (min(expires, time.time() + REMEMBER_SECONDS), caller)
        return caller

    async def _decode(self, token: str) -> tuple[Caller, float]:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise jwt.InvalidAlgorithmError("the algorithm is not accepted")
            key = await self._keys.key(header.get("kid"))
            if key is None:
                raise jwt.InvalidKeyError("the signing key is not known")
            claims = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "sub"], "verify_aud": self._audience is not None},
            )
        except jwt.ExpiredSignatureError:
            raise _unauthenticated("The token has expired.") from None
        except (jwt.PyJWTError, ValueError) as error:
            raise _unauthenticated(f"The token is not valid: {error}.") from None
        member = claims.get("member")
        scope = claims.get("scope")
        if not (member is None or isinstance(member, str)) or not (scope is None or isinstance(scope, str)):
            raise _unauthenticated("The token is not valid: scope and member are strings.")
        default = MEMBER_SCOPES if member is not None else frozenset[str]()
        scopes = default if scope is None else frozenset(scope.split())
        return Caller(str(claims["sub"]), scopes, member, claims), float(claims["exp"])


def _unauthenticated(detail: str, *, challenge: str = 'Bearer error="invalid_token"') -> Problem:
    return Problem(UNAUTHENTICATED, detail, headers={"WWW-Authenticate": challenge})
