"""Codecs of a connection: instants and days are the whole numbers that the domain counts in."""

from __future__ import annotations

from typing import Any, Final

import asyncpg

from services.kit.calendar import NEVER, Day, Micros

_PG_EPOCH_MICROS: Final = 946_684_800_000_000
_PG_EPOCH_DAY: Final = 730_120
_INFINITY_DAY: Final = 2**31 - 1
_MINUS_INFINITY_DAY: Final = -(2**31)


async def register_codecs(connection: asyncpg.Connection[Any]) -> None:
    """Makes a connection take and answer instants as microseconds since 1970 and days as ordinals.

    The day `infinity` is `NEVER`, and `-infinity` is 0 (a lot without a parent).
    """
    await connection.set_type_codec(
        "timestamptz", schema="pg_catalog", encoder=_encode_instant, decoder=_decode_instant, format="tuple"
    )
    await connection.set_type_codec(
        "date", schema="pg_catalog", encoder=_encode_day, decoder=_decode_day, format="tuple"
    )


def _encode_instant(instant: Micros) -> tuple[int]:
    return (instant - _PG_EPOCH_MICROS,)


def _decode_instant(value: tuple[int]) -> int:
    return value[0] + _PG_EPOCH_MICROS


def _encode_day(day: Day) -> tuple[int]:
    if day == NEVER:
        return (_INFINITY_DAY,)
    return (day - _PG_EPOCH_DAY if day else _MINUS_INFINITY_DAY,)


def _decode_day(value: tuple[int]) -> int:
    days = value[0]
    if days == _INFINITY_DAY:
        return NEVER
    return 0 if days == _MINUS_INFINITY_DAY else days + _PG_EPOCH_DAY
