"""The HTTP side of a service: one FastAPI app with the endpoints that all services have.

No middleware of Starlette's `BaseHTTPMiddleware` kind and no synchronous dependency anywhere: each halves the rate.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, MutableMapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.responses import Response
from prometheus_client import Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from services.kit import log, metrics, problem
from services.kit.part import State

if TYPE_CHECKING:
    from services.kit.serve import Worker

_log = log.get(__name__)

DRAIN_SECONDS: Final = 3
"""How long a stop waits for the requests in flight."""
MAX_BODY: Final = 8 * 1024 * 1024
"""Bytes; an event has at most 256 KiB, and a batch of them comes in one body."""
SLOW_SECONDS: Final = 1.0
"""A request that takes longer is logged (there is no access log)."""


class Api:
    """The part `api`: the service's own routers, and `/healthz`, `/readyz`, `/status`, `/metrics`, `/openapi.json`,
    `/docs`."""

    name = "api"

    def __init__(
        self,
        worker: Worker[Any],
        *,
        routers: Sequence[APIRouter],
        title: str = "",
        summary: str = "",
        drain: Callable[[], Any] | None = None,
    ) -> None:
        """`drain` is awaited when a stop has ended the requests (an executor's commands in flight)."""
        self._worker = worker
        self._drain = drain
        self.app = build_app(worker, routers=routers, title=title, summary=summary)
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listens."""
        config = uvicorn.Config(
            measured(self.app),
            http="httptools",
            ws="none",
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            timeout_keep_alive=75,
            backlog=2048,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[self._worker.listen()]), name="api")

    async def stop(self) -> None:
        """Stops accepting requests and answers those in flight."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        await asyncio.wait([self._task], timeout=DRAIN_SECONDS + 1)
        if self._drain is not None:
            await self._drain()

    def state(self) -> State:
        """Whether it listens."""
        if self._task is not None and self._task.done():
            return State(False, "the server has ended", "Restart the service.")
        return State(True)


class _Server(uvicorn.Server):
    """A server that leaves signals to the worker."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def build_app(worker: Worker[Any], *, routers: Sequence[APIRouter], title: str = "", summary: str = "") -> FastAPI:
    """The app of a service; its own routers come first, then the endpoints that all have."""
    service = worker.settings.service
    app = FastAPI(title=title or f"loyalty {service}", summary=summary or None, version="1")
    problem.install(app)
    for router in routers:
        app.include_router(router)

    @app.get("/healthz", tags=["operation"], summary="Whether the process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get(
        "/readyz",
        tags=["operation"],
        summary="Whether every worker can answer requests",
        responses={503: {"description": "Not ready; the same document names what is lacking."}},
        response_class=Response,
    )
    async def readyz() -> Response:
        return _health_document(worker.health.ready())

    @app.get(
        "/status",
        tags=["operation"],
        summary="Whether every part of every worker does its work, and what to do where one does not",
        responses={503: {"description": "Not well; the same document says why and what to do."}},
        response_class=Response,
    )
    async def status() -> Response:
        return _health_document(worker.health.well())

    @app.get("/metrics", tags=["operation"], summary="Prometheus metrics of all workers", response_class=Response)
    async def exposition() -> Response:
        return Response(worker.status.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return app


def _health_document(answer: tuple[bool, dict[str, Any]]) -> Response:
    ok, document = answer
    return Response(msgspec.json.encode(document), status_code=200 if ok else 503, media_type="application/json")


def measured(app: ASGIApp) -> ASGIApp:
    """Counts and times requests by route, and refuses bodies that are too large, as plain ASGI."""

    async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        status = 0
        began = time.perf_counter()

        async def send_and_note(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive if scope["method"] == "GET" else _limited(receive), send_and_note)
        except Exception:
            if not status:
                raise
            # It has been logged and answered; Starlette raises it again for servers that do not.
        finally:
            _count(scope, status, time.perf_counter() - began)

    return asgi


def _limited(receive: Receive) -> Receive:
    """Reads a body of at most `MAX_BODY` bytes."""
    left = MAX_BODY

    async def limited() -> MutableMapping[str, Any]:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            # An HTTPException, because FastAPI makes "400" of any other error while it reads a body.
            raise HTTPException(413, f"A body has at most {MAX_BODY} bytes.")
        return message

    return limited


def _count(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "other")
    counted, timed = _children(scope["method"], route, status)
    counted.inc()
    timed.observe(seconds)
    if seconds > SLOW_SECONDS:
        _log.warning("request_slow", method=scope["method"], route=route, seconds=round(seconds, 3))


@cache
def _children(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """The counter and the histogram of one kind of request (looking them up by labels costs more than counting)."""
    return (
        metrics.counter("http_requests_total", method=method, route=route, status=str(status)),
        metrics.histogram("http_request_seconds", method=method, route=route),
    )
