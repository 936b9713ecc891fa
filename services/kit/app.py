"""The HTTP side of a service: one FastAPI app with the endpoints that all services have.

No middleware of Starlette's `BaseHTTPMiddleware` kind and no synchronous dependency anywhere: each halves the rate.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from prometheus_client import Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Receive, Scope, Send

from services.kit import audit, log, metrics, problem
from services.kit.auth import Guard
from services.kit.http_protocol import BoundedProtocol
from services.kit.limits import limited
from services.kit.part import State
from services.kit.pulse import Pulse

if TYPE_CHECKING:
    from services.kit.worker import Worker

_log = log.get(__name__)

DRAIN_SECONDS: Final = 3
"""How long a stop waits for the requests in flight."""
OPERATE: Final = "ops:read"
"""The scope of who operates the services: the details of `/status`."""
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
        max_bodies: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """`drain` is awaited when a stop has ended the requests (an executor's commands in flight). `max_bodies` has
        the bytes of a body on the paths that take larger ones than `limits.MAX_BODY`."""
        self._worker = worker
        self._drain = drain
        self.app = build_app(worker, routers=routers, title=title, summary=summary)
        self._max_bodies = max_bodies
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        self.pulse = Pulse()

    async def start(self) -> None:
        """Listens."""
        settings = self._worker.settings
        config = uvicorn.Config(
            measured(limited(self.app, max_requests=settings.http_requests, max_bodies=self._max_bodies)),
            http=cast("Any", partial(BoundedProtocol, max_connections=settings.http_connections)),
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
    """A server that leaves signals to the worker, and ends connections that ask for nothing."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if counter % 5 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                assert isinstance(connection, BoundedProtocol)
                connection.check(now)
        return await super().on_tick(counter)


def build_app(worker: Worker[Any], *, routers: Sequence[APIRouter], title: str = "", summary: str = "") -> FastAPI:
    """The app of a service; its own routers come first, then the endpoints that all have."""
    service = worker.settings.service
    guard = Guard(worker.settings)
    app = FastAPI(title=title or f"loyalty {service}", summary=summary or None, version="1")
    problem.install(app)
    for router in routers:
        app.include_router(router)
    app.include_router(audit.routes(worker.reads, guard))

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
    async def status(request: Request) -> Response:
        """Why, and what to do, is for a token with the scope `ops:read`. Anybody else is told which parts are well."""
        return _health_document(worker.health.well(details=await guard.allows(request, OPERATE)))

    @app.get("/metrics", tags=["operation"], summary="Prometheus metrics of all workers", response_class=Response)
    async def exposition() -> Response:
        return Response(worker.status.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return app


def _health_document(answer: tuple[bool, dict[str, Any]]) -> Response:
    ok, document = answer
    return Response(msgspec.json.encode(document), status_code=200 if ok else 503, media_type="application/json")


def measured(app: ASGIApp) -> ASGIApp:
    """Counts and times requests by route, as plain ASGI."""

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
            await app(scope, receive, send_and_note)
        except Exception:
            if not status:
                raise
            # It has been logged and answered; Starlette raises it again for servers that do not.
        finally:
            _count(scope, status, time.perf_counter() - began)

    return asgi


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
