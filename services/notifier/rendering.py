"""Texts: templates that operators edit, compiled once, rendered within limits.

A template is a file `templates/<touchpoint>/<channel>.<locale>.liquid`. In the inbox and in mail the first line
is the title or subject and the rest, after an empty line, the body; a text message is body alone. The HTML of a
mail is the paragraphs of its text in `templates/layout/email.html.liquid`, so the two always say the same.

Liquid is used because operators' templates cannot run away: output and loops are limited here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import ClassVar, Final

import liquid
import msgspec
from babel import Locale
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal
from liquid.exceptions import LiquidError

from services.notifier.domain.locale import choose

LAYOUT: Final = "layout"
MAX_OUTPUT_BYTES: Final = 64 * 1024
"""The longest text a template may make; a mail of plain text is well below it."""
MAX_LOOP_ITERATIONS: Final = 1_000

PROMO_WAY_OUT: Final[Mapping[str, str]] = {
    "zh-CN": "拒收请回复R",
    "zh-TW": "拒收請回覆R",
    "en": "Reply STOP to opt out",
}
"""How a promotional text message ends, by locale (S2). Chinese operators ask for the first word for word."""

# Babel finds no locale for bare `zh` tags; the written form has to be said.
_BABEL: Final[Mapping[str, str]] = {"zh-CN": "zh_Hans_CN", "zh-TW": "zh_Hant_TW"}
_BLANK_LINES: Final = re.compile(r"\n{3,}")


class TemplateError(ValueError):
    """A template that does not parse, or that asks for more than it may."""


class MissingTextError(LookupError):
    """There is no template for this touchpoint and channel."""


class Text(msgspec.Struct, frozen=True):
    """A rendered message: `title` is empty where the channel has none, `html` is for mail alone."""

    locale: str
    title: str
    body: str
    html: str | None = None


class _Environment(liquid.Environment):
    output_stream_limit: ClassVar[int | None] = MAX_OUTPUT_BYTES
    loop_iteration_limit: ClassVar[int | None] = MAX_LOOP_ITERATIONS
    local_namespace_limit: ClassVar[int | None] = MAX_OUTPUT_BYTES


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
    """A decimal amount with its currency sign, without decimals that say nothing: ¥888, ¥888.5."""
    return format_currency(
        Decimal(amount), currency, format="¤#,##0.##", locale=babel_locale(locale), currency_digits=False
    )


def plural(count: int, one: str, other: str, locale: str) -> str:
    """The word that fits a count in a language with a singular."""
    return one if babel_locale(locale).plural_form(count) == "one" else other


def _environment(locale: str, *, html: bool = False) -> liquid.Environment:
    """The environment of one locale: its filters write numbers, days and money the way it does."""
    environment = _Environment(autoescape=html, undefined=liquid.FalsyStrictUndefined)
    environment.add_filter("number", lambda value: number(int(value), locale))
    environment.add_filter("day", lambda value: day(str(value), locale))
    environment.add_filter("money", lambda value, currency: money(str(value), str(currency), locale))
    environment.add_filter("plural", lambda count, one, other: plural(int(count), one, other, locale))
    return environment


class Texts:
    """All templates of the service, compiled."""

    def __init__(self, sources: Mapping[tuple[str, str, str], str], layout: str) -> None:
        """`sources` by (touchpoint, channel, locale); `layout` is the HTML around a mail's paragraphs.

        Raises TemplateError, naming the template, when one does not parse.
        """
        environments = {locale: _environment(locale) for _, _, locale in sources}
        self._templates: dict[tuple[str, str], dict[str, liquid.BoundTemplate]] = {}
        for (touchpoint, channel, locale), source in sources.items():
            name = f"{touchpoint}/{channel}.{locale}"
            compiled = _compile(environments[locale], name, source)
            self._templates.setdefault((touchpoint, channel), {})[locale] = compiled
        self._layout = _compile(_environment("en", html=True), f"{LAYOUT}/email.html", layout)
        self.available = frozenset(self._templates)
        """The (touchpoint, channel) pairs that there is a text for."""

    @classmethod
    def load(cls) -> Texts:
        """The templates that come with the service."""
        root = resources.files("services.notifier") / "templates"
        layout = (root / LAYOUT / "email.html.liquid").read_text("utf-8")
        return cls(dict(_read(root)), layout)

    def locales(self, touchpoint: str, channel: str) -> frozenset[str]:
        """The locales a text is written in."""
        return frozenset(self._templates.get((touchpoint, channel), ()))

    def locale_for(self, touchpoint: str, channel: str, wanted: str | None, default: str) -> str:
        """The locale that a member who wants one gets; MissingTextError when there is no text at all."""
        written = self._templates.get((touchpoint, channel), {})
        locale = choose(wanted, written, default) or min(written, default=None)
        if locale is None:
            raise MissingTextError(f"{touchpoint} has no text for {channel}")
        return locale

    def render(
        self,
        touchpoint: str,
        channel: str,
        locale: str,
        context: Mapping[str, object],
        *,
        promo: bool = False,
    ) -> Text:
        """The text of a message in a locale that it is written in.

        Raises MissingTextError, or TemplateError when the template breaks its limits or asks for what is not given.
        """
        template = self._templates.get((touchpoint, channel), {}).get(locale)
        if template is None:
            raise MissingTextError(f"{touchpoint} has no text for {channel} in {locale}")
        rendered = _tidy(_run(template, context))
        if channel == "sms":
            return Text(locale, "", _with_way_out(rendered, locale) if promo else rendered)
        title, _, body = rendered.partition("\n")
        body = body.strip()
        if channel != "email":
            return Text(locale, title, body)
        html = _run(self._layout, {"locale": locale, "subject": title, "paragraphs": body.split("\n\n")})
        return Text(locale, title, body, html)


def _compile(environment: liquid.Environment, name: str, source: str) -> liquid.BoundTemplate:
    try:
        return environment.from_string(source, name=name)
    except LiquidError as error:
        raise TemplateError(f"{name}: {error}") from error


def _run(template: liquid.BoundTemplate, context: Mapping[str, object]) -> str:
    try:
        return template.render(**context)
    except (LiquidError, ValueError, TypeError, ArithmeticError) as error:
        # The message of the error may quote a value: only its kind is told.
        raise TemplateError(f"{template.name}: {type(error).__name__}") from None


def _tidy(text: str) -> str:
    """Without the blank lines and spaces that conditions leave behind."""
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
    return _BLANK_LINES.sub("\n\n", lines)


def _with_way_out(text: str, locale: str) -> str:
    way_out = PROMO_WAY_OUT.get(locale, PROMO_WAY_OUT["en"])
    return text if text.endswith(way_out) else f"{text} {way_out}"


def _read(root: Traversable) -> Iterator[tuple[tuple[str, str, str], str]]:
    for folder in root.iterdir():
        if folder.name == LAYOUT or not folder.is_dir():
            continue
        for file in folder.iterdir():
            channel, locale, suffix = file.name.split(".")
            assert suffix == "liquid", file.name
            yield (folder.name, channel, locale), file.read_text("utf-8")
