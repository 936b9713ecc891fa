"""Bearer tokens: who calls, with which scopes, and as which member.

A token is a JWT signed by a key of the configured set (RS, PS, ES, EdDSA; never a shared secret). Its claims: `iss`
and `aud` as the settings say, `sub` (the actor that journals name), `exp`, `scope` (space-separated), `member` in a
member's own token, and `sources` and `types` in the token of a publisher. A member's token without `scope` may do what
members do for themselves (`MEMBER_SCOPES`).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import jwt
import msgspec
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.requests import HTTPConnection
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from services.kit import log
from services.kit.event_sources import matches_any
from services.kit.problem import FORBIDDEN, NOT_FOUND, UNAUTHENTICATED, UNAVAILABLE, Problem
from services.kit.settings import Settings

_log = log.get(__name__)

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
MEMBER_SCOPES: Final = frozenset({"ledger:read", "ledger:spend", "tiering:read", "notify:read"})
LEEWAY_SECONDS: Final = 10
CACHED_TOKENS: Final = 10_000
REMEMBER_SECONDS: Final = 60.0
"""A verified token is not verified again for so long, but never beyond its `exp`, nor when the keys have changed."""
REFRESH_SECONDS: Final = 10.0
"""An unknown key id makes us read the set again, but not more often than this: anyone can send any key id."""
READ_AGAIN_SECONDS: Final = 300.0
"""How often the set is read anew in any case, so that a withdrawn key ends."""
KEEP_SECONDS: Final = 3600.0
"""How long keys are trusted whose set cannot be read any more: an identity provider may be away for a while, but who
cuts us off from it must not keep a withdrawn key alive for ever."""


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
        publish; a `*` at the end of one stands for any rest. Without either claim it may publish nothing."""
        return _listed(self.claims.get("sources"), source) and _listed(self.claims.get("types"), event_type)


def _listed(claim: Any, value: str) -> bool:
    return isinstance(claim, list) and matches_any((each for each in claim if isinstance(each, str)), value)


class KeySet:
    """The keys that sign tokens, from a JWKS address or file: read anew every `READ_AGAIN_SECONDS`, and when a token
    names an unknown key."""

    def __init__(self, settings: Settings, on_change: Callable[[], None] = lambda: None) -> None:
        """`on_change` is called when the keys are others than before."""
        self._url = settings.jwks_url
        self._file = settings.jwks_file
        self._on_change = on_change
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._text = ""
        self._tried_at = self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        self._again: asyncio.Task[None] | None = None

    async def key(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key of an id; None when the set has none. Without an id: the only key of the set. Raises Problem (503)
        when no set could be read within `KEEP_SECONDS`."""
        if key_id not in self._keys:
            await self._refresh()
        if not self._keys:
            raise Problem(UNAVAILABLE, "The keys that verify tokens cannot be read.", headers={"Retry-After": "10"})
        return self._keys.get(key_id)

    async def _refresh(self) -> None:
        async with self._reading:
            if time.monotonic() - self._tried_at < (REFRESH_SECONDS if self._keys else 1.0):
                return
            self._tried_at = time.monotonic()
            try:
                text = await asyncio.to_thread(self._read)
                if text != self._text:
                    self._take(text)
                self._read_at = time.monotonic()
            except Exception as error:
                _log.error("key_set_unreadable", error=repr(error))
                if self._keys and time.monotonic() - self._read_at > KEEP_SECONDS:
                    self._keys, self._text = {}, ""
                    self._on_change()
            if self._again is None:
                self._again = asyncio.create_task(self._keep_reading(), name="key-set")

    async def _keep_reading(self) -> None:
        """Reads the set anew again and again, for as long as the process lives."""
        while True:
            await asyncio.sleep(READ_AGAIN_SECONDS if self._read_at >= self._tried_at else REFRESH_SECONDS)
            await self._refresh()

    def _take(self, text: str) -> None:
        found = jwt.PyJWKSet.from_dict(json.loads(text)).keys
        keys: dict[str | None, jwt.PyJWK] = {key.key_id: key for key in found if key.public_key_use in (None, "sig")}
        if len(found) == 1:
            keys[None] = found[0]
        self._keys, self._text = keys, text
        self._on_change()

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
        self._callers: dict[str, tuple[float, Caller]] = {}
        self._keys = KeySet(settings, on_change=self._callers.clear)
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._missing = settings.missing_for_tokens()

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

    async def allows(self, request: HTTPConnection, scope: str) -> bool:
        """Whether the request has a valid token with this scope, for an open path that tells some callers more."""
        authorization = request.headers.get("authorization")
        if authorization is None:
            return False
        try:
            return scope in (await self.verify(authorization)).scopes
        except Problem:
            return False

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
        if self._missing:  # `serve` does not start so; whoever builds an app in another way is safe too
            raise _unauthenticated(f"No token is accepted here: {' and '.join(self._missing)} not set.")
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


def guard_of(route: APIRoute) -> tuple[Guard, SecurityScopes] | None:
    """The guard of a route and the scopes that it asks for; None for an open route."""
    waiting = [route.dependant]
    while waiting:
        dependant = waiting.pop()
        if isinstance(dependant.call, Guard):
            return dependant.call, SecurityScopes(
                [*(dependant.parent_oauth_scopes or ()), *(dependant.own_oauth_scopes or ())]
            )
        waiting += dependant.dependencies
    return None


def _unauthenticated(detail: str, *, challenge: str = 'Bearer error="invalid_token"') -> Problem:
    return Problem(UNAUTHENTICATED, detail, headers={"WWW-Authenticate": challenge})
