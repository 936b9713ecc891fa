"""The notifier over HTTP: one router a noun."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter

from services.notifier.api import inbox, messages, preferences, previews
from services.notifier.api.context import Context

__all__ = ["Context", "routers"]


def routers(context: Context) -> Sequence[APIRouter]:
    """All paths of the notifier."""
    return [
        inbox.routes(context),
        preferences.routes(context),
        messages.routes(context),
        previews.routes(context),
    ]
