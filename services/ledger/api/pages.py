"""Pages of a list: how many rows, and the cursor that continues it."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec
from fastapi import Query

from services.kit.problem import INVALID, Problem
from services.ledger.reads.history import NEWEST
from services.ledger.reads.lists import FIRST_ORDER, OrderPlace

MAX_ROWS: Final = 200
"""Of one page."""

Cursor = Annotated[str | None, Query(max_length=1_000, description="`next_cursor` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=MAX_ROWS)]
T = TypeVar("T")

_decode_place = msgspec.msgpack.Decoder(OrderPlace).decode


def not_a_cursor() -> Problem:
    """The problem of a cursor that this list never gave."""
    return Problem(INVALID, "Not a cursor of this list; begin without one.", field="query.cursor")


def version_of(cursor: str | None) -> int:
    """The version before which a page goes on; without a cursor one above all. Raises Problem 422."""
    if cursor is None:
        return NEWEST[0]
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 20):
        raise not_a_cursor()
    return min(int(cursor), NEWEST[0])


def next_version(version: int | None) -> str | None:
    """The cursor of a page that begins before a version; None: there is none."""
    return None if version is None else str(version)


def place_of(cursor: str | None) -> OrderPlace:
    """The place after which a page of orders goes on. Raises Problem 422."""
    if cursor is None:
        return FIRST_ORDER
    try:
        place = _decode_place(urlsafe_b64decode(cursor.encode()))
    except (ValueError, msgspec.MsgspecError):
        raise not_a_cursor() from None
    if not 0 <= place.paid_at <= FIRST_ORDER.paid_at or "\x00" in place.ref:
        raise not_a_cursor()
    return place


def cursor_of(place: OrderPlace) -> str:
    """The cursor that continues after a place."""
    return urlsafe_b64encode(msgspec.msgpack.encode(place)).decode()


def page(rows: Sequence[T], limit: int) -> tuple[Sequence[T], bool]:
    """The first `limit` rows of those that were read, and whether there are more."""
    return rows[:limit], len(rows) > limit


def page_json(name: str, rows: Sequence[dict[str, Any]], next_cursor: str | None) -> dict[str, Any]:
    """A page as every list answers it."""
    return {name: rows, "next_cursor": next_cursor}
