"""The locale of a text for a member, as an explicit chain.

Language tags come from shops in every spelling (`zh`, `zh_HK`, `zh-Hant-TW`, `EN-us`). The script decides
between the two written forms of Chinese: Taiwan, Hong Kong and Macau read traditional characters.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

_TRADITIONAL = frozenset({"hant", "tw", "hk", "mo"})


def normalise(tag: str) -> tuple[str, ...]:
    """A language tag as lower-case subtags: `zh_Hant-TW` is ('zh', 'hant', 'tw')."""
    return tuple(part for part in tag.replace("_", "-").lower().split("-") if part)


@lru_cache(maxsize=1024)
def chain(wanted: str | None, default: str) -> tuple[str, ...]:
    """The locales to try for a member, best first, ending in the program's default and English.

    `zh`, `zh-Hans`, `zh-SG` read zh-CN; `zh-Hant`, `zh-HK`, `zh-MO` read zh-TW; `en-GB` reads en. The other
    written form of Chinese comes before a foreign language.
    """
    found: list[str] = []
    for tag in (wanted, default, "en"):
        subtags = normalise(tag) if tag else ()
        if not subtags:
            continue
        language, rest = subtags[0], subtags[1:]
        if language == "zh":
            simplified = "hans" in rest
            traditional = not simplified and not _TRADITIONAL.isdisjoint(rest)
            found += ("zh-TW", "zh-CN") if traditional else ("zh-CN", "zh-TW")
        else:
            regions = [part.upper() for part in rest if len(part) == 2]
            found += [f"{language}-{region}" for region in regions]
            found.append(language)
    return tuple(dict.fromkeys(found))


def choose(wanted: str | None, available: Collection[str], default: str) -> str | None:
    """The first locale of the member's chain that is available; None when none is."""
    return next((tag for tag in chain(wanted, default) if tag in available), None)
