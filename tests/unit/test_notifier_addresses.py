"""Usable addresses of what members type."""

from __future__ import annotations

from services.notifier.addresses import e164, mail_address


def test_telephone_numbers_are_kept_in_e164() -> None:
    assert e164("138 0013 8000", "CN") == "+8613800138000"
    assert e164("0912-345-678", "TW") == "+886912345678"
    assert e164("+44 20 7946 0958", "CN") == "+442079460958"
    assert e164("12", "CN") is None
    assert e164("no number", "CN") is None
    assert e164(None, "CN") is None


def test_a_mail_address_that_no_server_would_take_is_none() -> None:
    assert mail_address(" li@shop.example ") == "li@shop.example"
    assert mail_address("李雷@邮件.example") == "李雷@邮件.example"
    for broken in ("li", "li@shop", "a b@shop.example", "a@b@c.example", "li@shop.example\nBcc: x@y.example", ""):
        assert mail_address(broken) is None
    assert mail_address("a" * 64 + "@" + "b" * 190 + ".example") is None
