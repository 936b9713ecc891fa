"""The locale of a text for a member."""

from __future__ import annotations

import pytest

from services.notifier.domain.locale import chain, choose

LOCALES = ("zh-CN", "zh-TW", "en")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("zh", "zh-CN"),
        ("zh_CN", "zh-CN"),
        ("zh-Hans-HK", "zh-CN"),
        ("zh-SG", "zh-CN"),
        ("zh-HK", "zh-TW"),
        ("zh_Hant", "zh-TW"),
        ("zh-MO", "zh-TW"),
        ("ZH-TW", "zh-TW"),
        ("en-GB", "en"),
        ("EN_us", "en"),
        ("ja-JP", "zh-CN"),
        ("", "zh-CN"),
        (None, "zh-CN"),
    ],
)
def test_the_locale_chain_is_explicit(wanted: str | None, expected: str) -> None:
    assert choose(wanted, LOCALES, "zh-CN") == expected


def test_the_locale_chain_goes_over_the_default_to_english() -> None:
    assert chain("ja-JP", "zh-TW") == ("ja-JP", "ja", "zh-TW", "zh-CN", "en")
    assert choose("ja", ("en",), "zh-CN") == "en"
    assert choose("ja", (), "zh-CN") is None
