"""Tiering over HTTP: one router a noun."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter

from services.kit.executor import Executor
from services.tiering.api import enrolment, ladder, standing
from services.tiering.api.context import Context
from services.tiering.domain.member import Input
from services.tiering.executor import Outcome

__all__ = ["Context", "routers"]


def routers(context: Context, executor: Executor[Input, Outcome]) -> Sequence[APIRouter]:
    """All paths of tiering."""
    return [standing.routes(context), enrolment.routes(context, executor), ladder.routes(context)]
