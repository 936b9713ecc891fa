"""What a connection may cost before there is a request: its head's bytes and time, and the number of connections.

uvicorn's protocol has no such bounds: it kept 193 MB of headers, and every request that was sent by half. Beyond a
bound the connection gets a problem document and is closed. Where a client is still sending, the closing waits a little
and passes over what comes: closed at once, the client would get a reset instead of the answer.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.kit import metrics
from services.kit.problem import HEAD_TOO_LARGE, MALFORMED, OVERLOADED, TOO_SLOW, Problem

MAX_HEAD: Final = 32 * 1024
"""Bytes of a request's target and headers."""
HEAD_SECONDS: Final = 10.0
"""How long a head may take, from its first byte, or from the beginning of the connection."""
LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 16 * 1024 * 1024
"""For how long, and over how many bytes, a connection that was answered early waits for its client to look."""


class _Patient:
    """The transport of an answer that ends its connection: closing it waits for a client that is still sending."""

    def __init__(self, protocol: BoundedProtocol) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        """Ends the connection, at once if the request is complete."""
        if self._protocol.cycle.more_body:
            self._protocol.linger()
        else:
            self._protocol.transport.close()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with bounds. Its server calls `check` now and then; a request pays for no timer."""

    def __init__(self, *arguments: Any, max_connections: int, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._max_connections = max_connections

    def connection_made(self, transport: Any) -> None:
        """A connection begins, or is one too many."""
        self._head_bytes = self._read_bytes = 0
        self._in_head = False
        self._ends_at = self.loop.time() + HEAD_SECONDS
        self._lingering = 0
        super().connection_made(transport)
        if len(self.connections) > self._max_connections:
            metrics.count("http_turned_away_total", why="connections")
            detail = f"{self._max_connections} connections are open already."
            self._refuse(Problem(OVERLOADED, detail, headers={"Retry-After": "1"}))

    def data_received(self, data: bytes) -> None:
        """Bytes of a request, or of one that was answered already."""
        if self._lingering:
            self._lingering += len(data)
            if self._lingering > LINGER_BYTES:
                self.transport.abort()
            return
        if self._ends_at == math.inf and (self.cycle is None or self.cycle.response_complete):
            self._ends_at = self.loop.time() + HEAD_SECONDS
        self._head_bytes += (read := len(data))
        self._read_bytes = read
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD:
            self._refuse_head()

    def on_message_begin(self) -> None:
        """The first byte of a request. The bytes of its head are counted from the next read on, and exactly when it is
        complete: a read may begin with the rest of another request."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        self._ends_at = self.loop.time() + HEAD_SECONDS

    def on_headers_complete(self) -> None:
        """The head is there: what it asks for begins, unless it is too large."""
        self._in_head = False
        self._ends_at = math.inf
        if self._lingering:
            return
        if self._head_bytes + self._read_bytes > MAX_HEAD and self._is_head_too_large():
            self._refuse_head()
        else:
            super().on_headers_complete()
            if not self.cycle.keep_alive or self.scope["method"] != "GET":
                self.cycle.transport = cast("asyncio.Transport", _Patient(self))

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        if not self._lingering:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of a request."""
        if not self._lingering:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer was written. What is left of its request is passed over, for a while; then the connection ends, if
        the answer has said so."""
        if self.cycle.response_complete and self.cycle.more_body:
            if not self.cycle.keep_alive:
                self.linger()
                return
            self._ends_at = self.loop.time() + HEAD_SECONDS
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered as a problem too."""
        self._refuse(Problem(MALFORMED, msg))

    def check(self, now: float) -> None:
        """Ends the connection when its head has taken too long, or when it has lingered for long enough."""
        if now < self._ends_at or self.transport is None or self.transport.is_closing():
            return
        if self._lingering:
            self.transport.abort()
        elif self._in_head:
            metrics.count("http_turned_away_total", why="slow")
            self._refuse(Problem(TOO_SLOW, f"The head of a request may take {HEAD_SECONDS:g} s."))
        else:  # nothing was asked, or not all that was answered has come
            self.transport.close()

    def _is_head_too_large(self) -> bool:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD

    def _refuse_head(self) -> None:
        metrics.count("http_turned_away_total", why="head")
        self._refuse(Problem(HEAD_TOO_LARGE, f"The target and the headers have at most {MAX_HEAD} bytes together."))

    def _refuse(self, problem: Problem) -> None:
        """Answers a request that the app does not get to see, and ends the connection."""
        if self._lingering or self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:  # the answer before it would be cut in two
            self.transport.abort()
            return
        response = problem.response()
        lines = [f"HTTP/1.1 {response.status_code} {problem.kind.title}".encode(), b"connection: close"]
        lines += [name + b": " + value for name, value in response.raw_headers]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(response.body)]))
        self.linger()

    def linger(self) -> None:
        """Passes over what still comes, and ends the connection a little later."""
        if self._lingering or self.transport.is_closing():
            return
        self._lingering = 1
        self._ends_at = self.loop.time() + LINGER_SECONDS
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
