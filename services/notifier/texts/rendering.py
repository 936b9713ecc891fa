"""Texts of messages: templates that operators edit, compiled once, rendered within limits.

A template is a file `templates/<touchpoint>/<channel>.<locale>.liquid`. In the inbox and in mail the first line
is the title or subject and the rest, after an empty line, the body; a text message has a body alone. The HTML of a
mail is made of the paragraphs of its text by `templates/layout/email.html.liquid`, so the two always say the same.

The language is Liquid, because it can limit what a template costs: output and loops are limited here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import ClassVar, Final

import liquid
import msgspec
from liquid.exceptions import LiquidError

from services.notifier.domain.locale import choose
from services.notifier.texts.formats import day, money, number, plural

LAYOUT: Final = "layout"
MAX_OUTPUT_BYTES: Final = 64 * 1024
"""The longest text a template may make; a mail of plain text is far shorter."""
MAX_LOOP_ITERATIONS: Final = 1_000

OPT_OUT: Final[Mapping[str, str]] = {
    "zh-CN": "拒收请回复R",
    "zh-TW": "拒收請回覆R",
    "en": "Reply STOP to opt out",
}
"""The last words of a promotional text message, by locale (S2). Chinese operators prescribe the first wording."""

_BLANK_LINES: Final = re.compile(r"\n{3,}")


class TemplateError(ValueError):
    """A template that does not parse, that exceeds a limit, or that uses a value it does not get."""


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


def _environment(locale: str, *, html: bool = False) -> liquid.Environment:
    """The environment of one locale: its filters write numbers, days and money as that locale does."""
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
        """The templates of the package `services.notifier`."""
        root = resources.files("services.notifier") / "templates"
        layout = (root / LAYOUT / "email.html.liquid").read_text("utf-8")
        return cls(dict(_read(root)), layout)

    def locales(self, touchpoint: str, channel: str) -> frozenset[str]:
        """The locales a text is written in."""
        return frozenset(self._templates.get((touchpoint, channel), ()))

    def locale_for(self, touchpoint: str, channel: str, wanted: str | None, default: str) -> str:
        """The locale of the text for a member who wants `wanted`; MissingTextError when there is no text at all."""
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

        Raises MissingTextError, or TemplateError when the template exceeds a limit or uses a value that is not there.
        """
        template = self._templates.get((touchpoint, channel), {}).get(locale)
        if template is None:
            raise MissingTextError(f"{touchpoint} has no text for {channel} in {locale}")
        rendered = _tidy(_run(template, context))
        if channel == "sms":
            return Text(locale, "", _with_opt_out(rendered, locale) if promo else rendered)
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
        # The error's own message may quote a personal value, so only its type is passed on.
        raise TemplateError(f"{template.name}: {type(error).__name__}") from None


def _tidy(text: str) -> str:
    """The text without the blank lines and spaces that conditions of a template leave behind."""
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
    return _BLANK_LINES.sub("\n\n", lines)


def _with_opt_out(text: str, locale: str) -> str:
    opt_out = OPT_OUT.get(locale, OPT_OUT["en"])
    return text if text.endswith(opt_out) else f"{text} {opt_out}"


def _read(root: Traversable) -> Iterator[tuple[tuple[str, str, str], str]]:
    for folder in root.iterdir():
        if folder.name == LAYOUT or not folder.is_dir():
            continue
        for file in folder.iterdir():
            channel, locale, suffix = file.name.split(".")
            assert suffix == "liquid", file.name
            yield (folder.name, channel, locale), file.read_text("utf-8")
