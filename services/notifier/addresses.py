"""Usable addresses, made of what members type."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import phonenumbers

_MAIL: Final = re.compile(r"[^\s@<>()\[\],;:\"\\]{1,64}@[^\s@<>()\[\],;:\"\\]+\.[^\s@<>()\[\],;:\"\\]{2,}")
_MAX_MAIL: Final = 254
_MAX_PHONE: Final = 64


@lru_cache(maxsize=4096)
def e164(phone: str | None, country: str) -> str | None:
    """A telephone number in E.164 form, read as one of `country` (ISO 3166) unless it has a country code.

    None when it cannot be a valid number.
    """
    if not phone or len(phone) > _MAX_PHONE:
        return None
    try:
        number = phonenumbers.parse(phone, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def mail_address(email: str | None) -> str | None:
    """A mail address without surrounding space; None when no mail server would take it."""
    if email is None:
        return None
    address = email.strip()
    return address if len(address) <= _MAX_MAIL and _MAIL.fullmatch(address) else None
