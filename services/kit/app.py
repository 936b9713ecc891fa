"""The HTTP side of a service: one FastAPI app with the endpoints that all services have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI

from services.kit.health import State
from services.kit.serve import Worker


class Api:
    """The part `api`: `/healthz`, `/readyz`, `/metrics`, `/openapi.json`, `/docs` and the service's own routers."""

    name = "api"
    app: FastAPI

    def __init__(
        self, worker: Worker[Any], *, routers: Sequence[APIRouter], title: str = "", summary: str = ""
    ) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Listens."""

    async def stop(self) -> None:
        """Stops accepting and answers what is in flight."""

    def state(self) -> State:
        """Whether it listens."""
        raise NotImplementedError
