"""What a request may cost while it is answered: the bounds of bodies and of requests in flight, as plain ASGI.

Order: a request that comes while too many are in flight is shed (503). The token is checked before the first byte of
a body is read (401, 403, 404), then the size that the body says it has (413), then the size that it turns out to have
(413) and the time that it takes (408). What a connection may cost before there is a request is in `http_protocol`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from fastapi.requests import HTTPConnection
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from services.kit.auth import guard_of
from services.kit.problem import OVERLOADED, TOO_LARGE, TOO_SLOW, Problem

MAX_BODY: Final = 64 * 1024
"""Bytes of a body, where a path does not say more."""
BODY_SECONDS: Final = 20.0
"""How long a body may take, from the first look at it to its end: 1 MiB at 50 KiB a second."""
ALWAYS_ANSWERED: Final = frozenset({"/healthz", "/readyz", "/status", "/metrics"})
"""Who asks for these wants to know whether the service is overloaded."""
RETRY_AFTER: Final = {"Retry-After": "1"}


def limited(app: ASGIApp, *, max_requests: int, max_bodies: Mapping[str, int]) -> ASGIApp:
    """`max_requests` are in flight at most; `max_bodies` has the bytes of the paths that take more than `MAX_BODY`."""
    in_flight = 0

    async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal in_flight
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        if in_flight >= max_requests and scope["path"] not in ALWAYS_ANSWERED:
            shed = Problem(OVERLOADED, f"{in_flight} requests are being answered already.", headers=RETRY_AFTER)
            await shed.response()(scope, receive, send)
            return
        in_flight += 1
        try:
            if scope["method"] != "GET":
                body = _Body(scope, receive, max_bodies.get(scope["path"], MAX_BODY))
                receive, send = body.receive, body.answered_by(send)
            await app(scope, receive, send)
        finally:
            in_flight -= 1

    return asgi


class _Body:
    """The body of one request, as the app reads it."""

    def __init__(self, scope: Scope, receive: Receive, max_bytes: int) -> None:
        self._scope = scope
        self._receive = receive
        self._max_bytes = max_bytes
        self._left = max_bytes
        self._ends_at = 0.0
        self._is_complete = False
        self._is_left = False

    def answered_by(self, send: Send) -> Send:
        """`send`, which says that the connection ends where the rest of a refused body is not waited for."""

        async def answer(message: MutableMapping[str, Any]) -> None:
            if self._is_left and message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        return answer

    async def receive(self) -> MutableMapping[str, Any]:
        """The next piece. Raises Problem: 401, 403 and 404 of the token, 413, 408."""
        if self._is_complete:  # the app waits for the client to go away
            return await self._receive()
        if not self._ends_at:
            await self._admit()
            self._ends_at = time.monotonic() + BODY_SECONDS
        try:
            async with asyncio.timeout(self._ends_at - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            self._is_left = True
            raise Problem(TOO_SLOW, f"A body may take {BODY_SECONDS:g} s.") from None
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise self._too_large()
        self._is_complete = not message.get("more_body", False)
        return message

    async def _admit(self) -> None:
        """Checks what the head of the request says, before any of the body is taken from the connection."""
        length = next((value for name, value in self._scope["headers"] if name == b"content-length"), None)
        # A short body that is refused is passed over, so that its client can go on with the connection it has.
        self._is_left = length is None or not length.isdigit() or int(length) > MAX_BODY
        route = self._scope.get("route")
        if isinstance(route, APIRoute) and (found := guard_of(route)) is not None:
            guard, scopes = found
            await guard(HTTPConnection(self._scope), scopes)
        if length is not None and (not length.isdigit() or int(length) > self._max_bytes):
            raise self._too_large()
        self._is_left = False

    def _too_large(self) -> Problem:
        self._is_left = True
        return Problem(TOO_LARGE, f"A body has at most {self._max_bytes} bytes here.")
