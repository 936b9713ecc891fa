"""The kinds of value that events are made of, each checked once here and named everywhere else.

All checks run inside pydantic-core on the record's bytes: no Python code runs for a field of a hot event.
The patterns use only what Rust's regex, Python's `re` and ECMA 262 (JSON Schema) understand alike.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic_core import CoreSchema, core_schema

MAX_POINTS = 2**53
"""Points beyond this are not exact in a JSON reader that has only doubles."""


class _Iso8601:
    """A date or a time that is text of exactly one form: pydantic alone would also take bare numbers.

    `form` names JSON Schema's format, `pattern` is what the text must look like, `schema` parses it.
    """

    def __init__(self, form: str, pattern: str, schema: CoreSchema) -> None:
        self.form = form
        self.pattern = pattern
        self.schema = schema

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(pattern=self.pattern, max_length=40)
        return core_schema.chain_schema([text, self.schema])

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "format": self.form, "pattern": self.pattern}


Instant = Annotated[
    datetime,
    _Iso8601(
        "date-time",
        r"^[12][0-9]{3}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$",
        core_schema.datetime_schema(tz_constraint="aware", microseconds_precision="truncate"),
    ),
]
"""An RFC 3339 time with offset, years 1000 to 2999; below a microsecond it is truncated."""

IsoDate = Annotated[date, _Iso8601("date", r"^[12][0-9]{3}-[0-9]{2}-[0-9]{2}$", core_schema.date_schema())]
"""A calendar date, `2026-11-30`."""

MemberId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]
"""A member's id: opaque, never a phone number or an address. Also the form of every other subject."""

# A control character has no business in an id, and PostgreSQL's text cannot hold U+0000.
Id = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=128)]
"""The shop's name for something: an order, a line, a refund, a review, a stock keeping unit."""

Shop = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=64)]
"""One of the merchant's shops; empty where there is only one."""

Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=1000)]
"""Free text for people, any language."""

LongText = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=200_000)]
"""A rendered message body."""

Token = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")]
"""A name that machines compare: a rule, a tier, a kind, a channel of sale."""

Money = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}(\.[0-9]{1,4})?$")]
"""An amount of the order's currency as a decimal string, not negative; never a float.

How many decimals are allowed is the currency's ISO 4217 exponent: whoever knows the currency checks it.
"""

SignedMoney = Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,4})?$")]
"""An amount that may be negative."""

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
"""An ISO 4217 code."""

Quantity = (
    Annotated[int, Field(strict=True, ge=0, le=10**12)]
    | Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}(\.[0-9]{1,6})?$")]
)
"""How many or how much: an integer, or a decimal string for what is sold by weight or length."""

Count = Annotated[int, Field(strict=True, ge=0, le=MAX_POINTS)]
"""A number of things, or of points: 0 or more."""

Positive = Annotated[int, Field(strict=True, ge=1, le=MAX_POINTS)]
"""A number of things, or of points: 1 or more."""

SignedPoints = Annotated[int, Field(strict=True, ge=-MAX_POINTS, le=MAX_POINTS)]
"""Points that may be negative."""

Flag = Annotated[bool, Field(strict=True)]
"""True or false, never 1 or "yes"."""

Locale = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8}){0,3}$")]
"""A language and region, `zh-CN`."""

TimeZone = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}$")]
"""A name of the tz database, `Asia/Shanghai`."""

Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
"""An ISO 3166 code."""

Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
"""The version of a program document, `2026.1`."""

MessageClass = Annotated[
    Literal["service", "notice", "promo"], Field(description="Which consent a message needs (S2).")
]
"""Which consent a message needs (S2)."""

Channel = Annotated[
    Literal["sms", "email", "push", "inapp"], Field(description="The way on which messages reach the member.")
]
"""The way on which messages reach the member."""

Address = Annotated[
    str,
    StringConstraints(min_length=1, max_length=320, pattern=r"^[^\x00-\x1f\x7f]+$"),
    Field(description="A telephone number in E.164 form, or a mail address."),
]
"""A telephone number in E.164 form, or a mail address."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""A SHA-256 digest, `sha256:` and 64 hexadecimal digits."""

Base64 = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]*={0,2}$")]
"""Bytes as base64 (RFC 4648, section 4)."""
