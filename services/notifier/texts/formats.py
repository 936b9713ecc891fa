"""Numbers, days, money and plurals as each locale writes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal

# Babel does not know the locale of a Chinese tag without its script.
_BABEL: Final[Mapping[str, str]] = {"zh-CN": "zh_Hans_CN", "zh-TW": "zh_Hant_TW"}


@lru_cache(maxsize=64)
def babel_locale(locale: str) -> Locale:
    """The CLDR data of a locale."""
    return Locale.parse(_BABEL.get(locale, locale.replace("-", "_")))


@lru_cache(maxsize=8192)
def number(value: int, locale: str) -> str:
    """An integer with the locale's grouping: 1,200."""
    return format_decimal(value, locale=babel_locale(locale))


@lru_cache(maxsize=4096)
def day(iso: str, locale: str) -> str:
    """An ISO date written out: 2026年3月1日, March 1, 2026."""
    return format_date(date.fromisoformat(iso), format="long", locale=babel_locale(locale))


@lru_cache(maxsize=1024)
def money(amount: str, currency: str, locale: str) -> str:
    """A decimal amount with its currency sign, without trailing zeros: ¥888, ¥888.5."""
    return format_currency(
        Decimal(amount), currency, format="¤#,##0.##", locale=babel_locale(locale), currency_digits=False
    )


def plural(count: int, one: str, other: str, locale: str) -> str:
    """The word that fits a count in a language with a singular."""
    return one if babel_locale(locale).plural_form(count) == "one" else other


def formatted(values: Mapping[str, Any], locale: str) -> dict[str, str]:
    """A template's values as the text writes them, for providers that take the template and its parameters."""
    parameters: dict[str, str] = {}
    for name, value in values.items():
        match name, value:
            case _, int():
                parameters[name] = number(value, locale)
            case "next_growth", str():
                parameters[name] = money(value, str(values["currency"]), locale)
            case (("expires_on" | "effective_on"), str()):
                parameters[name] = day(value, locale)
            case _:
                parameters[name] = str(value)
    return parameters
