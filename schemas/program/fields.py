"""The kinds of value a program document is made of.

Amounts, rates and shares are decimal text, kept as written; a whole number may go without quotes. A marketer
never meets a float: the loader hands `1.5` over as the text `1.5`.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from fractions import Fraction
from functools import cache
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


# Listing the tz database walks its directories.
_zones = cache(available_timezones)


def _known_zone(name: str) -> str:
    if name not in _zones():
        raise PydanticCustomError("unknown_zone", "is no name of the tz database, such as Asia/Shanghai")
    return name


def _share_of_one(share: str) -> str:
    if Fraction(share) > 1:
        raise PydanticCustomError("share_beyond_one", "is a share of 1: at most 1")
    return share


def _rfc3339(value: Any) -> Any:
    if isinstance(value, str) and "T" in value:
        with suppress(ValueError):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None:
                return moment
    raise PydanticCustomError("no_time", "is no time with offset, such as 2026-01-01T00:00:00+08:00")


class NumericText:
    """Text of a pattern that may be written as a whole number.

    Its JSON Schema also takes other numbers, for editors: in our YAML a number with a point is text.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(pattern=self.pattern)
        return core_schema.no_info_before_validator_function(_number_as_text, text)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "pattern": self.pattern}, {"type": "number", "minimum": 0}]}


class Part(BaseModel):
    """A part of the document: a field that it does not know is a mistake, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
"""A rule, a tier, a segment: lower case letters, digits, `-` and `_`."""

Decimal = Annotated[str, NumericText(r"^[0-9]{1,12}(\.[0-9]{1,6})?$")]
"""A rate or a multiplier, 0 or more, as decimal text."""

Money = Annotated[str, NumericText(r"^[0-9]{1,12}(\.[0-9]{1,4})?$")]
"""An amount in the program's currency, as decimal text."""

Share = Annotated[str, NumericText(r"^[01](\.[0-9]{1,6})?$"), AfterValidator(_share_of_one)]
"""A part of a whole, from 0 to 1, as decimal text."""

Points = Annotated[int, Field(strict=True, ge=0, le=10**12)]
"""A number of points."""

PositivePoints = Annotated[int, Field(strict=True, ge=1, le=10**12)]
"""A number of points, at least 1."""

Days = Annotated[int, Field(strict=True, ge=0, le=36_500)]
"""A number of local days."""

Months = Annotated[int, Field(strict=True, ge=1, le=1200)]
"""A number of calendar months."""

Number = Annotated[int, Field(strict=True, ge=1, le=10**12)]
"""How many, at least 1."""

Span = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}[dh]$")]
"""A length of time: `3d` or `12h`."""

Version = Annotated[str, NumericText(r"^[A-Za-z0-9._-]{1,64}$")]
"""A version's name, `2026.1`."""

Zone = Annotated[str, AfterValidator(_known_zone)]
"""A name of the tz database."""

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
"""An ISO 4217 code."""

Moment = Annotated[AwareDatetime, BeforeValidator(_rfc3339, json_schema_input_type=str)]
"""A time with offset, `2026-01-01T00:00:00+08:00`."""

LocalText = Annotated[
    dict[
        Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")],
        Annotated[str, Field(max_length=200)],
    ],
    Field(min_length=1),
]
"""A text by locale: `{zh-CN: 普通会员, en: Regular}`."""
