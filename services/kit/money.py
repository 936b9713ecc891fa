"""Money as integer minor units of one currency; never float."""

from __future__ import annotations

from functools import lru_cache

# ISO 4217 exponents that are not 2.
_EXPONENTS = {
    **dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV",
         "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}  # fmt: skip


def exponent(currency: str) -> int:
    """How many decimals a currency's amounts have (ISO 4217)."""
    return _EXPONENTS.get(currency, 2)


@lru_cache(maxsize=16_384)
def minor_units(amount: str, decimals: int) -> int:
    """A decimal string as integer minor units; ValueError if it has more decimals than the currency."""
    whole, point, fraction = amount.partition(".")
    # Twenty of these are in an order, and prices recur: remembered, without a regular expression.
    digits = whole.removeprefix("-")
    if not digits or not (digits + fraction).isdecimal() or not amount.isascii() or (point and not fraction):
        raise ValueError(f"not a decimal amount: {amount!r}")
    missing = decimals - len(fraction)
    if missing < 0:
        raise ValueError(f"more than {decimals} decimals: {amount!r}")
    return int(whole + fraction) * 10**missing if missing else int(whole + fraction)


@lru_cache(maxsize=16_384)
def plain_decimal(number: int | str) -> str:
    """A number that is not negative, as equal numbers are all spelled: "1.50" and "01.5" are "1.5"."""
    whole, _, fraction = str(number).partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def decimal_string(units: int, decimals: int) -> str:
    """Minor units as the decimal string of the contracts: 19999 with 2 decimals is '199.99'."""
    if decimals == 0:
        return str(units)
    digits = str(abs(units)).rjust(decimals + 1, "0")
    return f"{'-' if units < 0 else ''}{digits[:-decimals]}.{digits[-decimals:]}"
