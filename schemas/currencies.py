"""How many decimals amounts of a currency have (ISO 4217)."""

from __future__ import annotations

from typing import Final

_NOT_TWO: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_DECIMALS: Final = {code: decimals for decimals, codes in _NOT_TWO.items() for code in codes.split()}


def decimals_of(currency: str) -> int:
    """The currency's exponent: 2 for CNY, 0 for JPY."""
    return _DECIMALS.get(currency, 2)


def has_more_decimals(amount: str, currency: str) -> bool:
    """Whether a decimal text has more decimals than the currency, trailing zeros included."""
    return len(amount.partition(".")[2]) > decimals_of(currency)
