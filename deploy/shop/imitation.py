"""A file in the Online Retail CSV format with the shapes of a real gift shop's, for those who have no such file.

What it imitates: three quarters of the lines have a customer, a few customers make most of the spend, order
totals fall 33 / 56 / 11 % below 200, up to 800 and above, cancellations follow their purchase after 9 days in
the median and 65 at the 90th percentile, two thirds of them for a part of the quantity, some before any
purchase, of more than was bought or of nothing ever bought; stock corrections, lines without a price, bad
debts, an item twice on an invoice, an invoice written over a minute's end.
"""

from __future__ import annotations

import csv
import gzip
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

HEADER = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
SPAN_DAYS = 373
# The shop's local time, as in the format.
LAST_DAY = datetime(2011, 12, 9)  # noqa: DTZ001

_INVOICES_A_CUSTOMER = 5
_GUEST_SHARE = 0.25
_CANCELLED_SHARE = 0.22
_LAG_MEDIAN_DAYS = 9.0
_LAG_SIGMA = math.log(65 / _LAG_MEDIAN_DAYS) / 1.2816
_LINES_MEAN = 20
_TOTALS = ((0.33, 10, 200), (0.56, 200, 800), (0.11, 800, 6000))
_QUANTITIES = (1, 2, 3, 4, 6, 8, 10, 12, 24, 48)


@dataclass(frozen=True, slots=True)
class _Line:
    invoice: str
    sku: str
    quantity: int
    at: datetime
    cents: int
    customer: str

    def cells(self) -> tuple[str, ...]:
        price = f"{self.cents / 100:.2f}"
        return (
            self.invoice,
            self.sku,
            f"ITEM {self.sku}",
            str(self.quantity),
            self.at.strftime("%Y-%m-%d %H:%M:%S"),
            price,
            f"{self.customer}.0" if self.customer else "",
            "United Kingdom",
        )


def write_imitation(path: Path, *, seed: int, invoices: int) -> int:
    """Write such a file (`.csv` or `.csv.gz`) of so many sales; returns its lines without the header."""
    lines = sorted(_lines(random.Random(seed), invoices), key=lambda line: line.at)
    with gzip.open(path, "wt", newline="") if path.suffix == ".gz" else path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(line.cells() for line in lines)
    return len(lines)


def _lines(rng: random.Random, invoices: int) -> Iterator[_Line]:
    customers = [str(12_000 + number) for number in range(max(invoices // _INVOICES_A_CUSTOMER, 1))]
    weights = [rng.paretovariate(1.2) for _ in customers]
    for number in range(536_365, 536_365 + invoices):
        at = _opening_hours(rng, LAST_DAY - timedelta(days=rng.randrange(SPAN_DAYS + 1)))
        customer = "" if rng.random() < _GUEST_SHARE else rng.choices(customers, weights)[0]
        sold = list(_sale(rng, str(number), at, customer))
        yield from sold
        if rng.random() < _CANCELLED_SHARE:
            yield from _cancellation(rng, f"C{900_000 + number}", sold)
        yield from _not_goods(rng, number, at)


def _sale(rng: random.Random, invoice: str, at: datetime, customer: str) -> Iterator[_Line]:
    _, low, high = rng.choices(_TOTALS, [share for share, _, _ in _TOTALS])[0]
    total_cents = 100 * low * math.pow(high / low, rng.random())
    count = 1 + min(int(rng.expovariate(1 / _LINES_MEAN)), 200)
    skus = [str(rng.randrange(20_000, 23_000)) for _ in range(count)]
    if count > 3 and rng.random() < 0.3:
        skus[-1] = skus[0]
    for position, sku in enumerate(skus):
        quantity = rng.choice(_QUANTITIES)
        cents = max(1, round(total_cents / count * rng.uniform(0.4, 1.6) / quantity))
        # Long invoices are written over a minute's end.
        yield _Line(invoice, sku, quantity, at + timedelta(minutes=position // 150), cents, customer)


def _cancellation(rng: random.Random, number: str, sold: list[_Line]) -> Iterator[_Line]:
    lag = timedelta(days=_LAG_MEDIAN_DAYS * math.exp(rng.gauss(0, _LAG_SIGMA)))
    what = rng.choices(("bought", "before", "never"), (85, 4, 11))[0]
    at = sold[0].at - timedelta(days=2) if what == "before" else sold[0].at + lag
    at = at.replace(second=0, microsecond=0)
    if not LAST_DAY - timedelta(days=SPAN_DAYS) <= at < LAST_DAY + timedelta(days=1):
        return
    for line in rng.sample(sold, min(len(sold), rng.choice((1, 1, 2, 4)))):
        back = line.quantity if rng.random() < 0.35 else rng.randint(1, line.quantity)
        if rng.random() < 0.03:
            back = line.quantity + 3
        sku = rng.choice(("M", "D", "CRUK")) if what == "never" else line.sku
        # Now and then for another price than it was bought at.
        cents = line.cents if rng.random() < 0.95 else line.cents + 5
        yield _Line(number, sku, -back, at, cents, line.customer)


def _not_goods(rng: random.Random, number: int, at: datetime) -> Iterator[_Line]:
    sku = str(rng.randrange(20_000, 23_000))
    if rng.random() < 0.05:
        yield _Line(f"{600_000 + number}", sku, -rng.randint(1, 200), at, 0, "")
    if rng.random() < 0.05:
        yield _Line(f"{700_000 + number}", sku, rng.randint(1, 20), at, 0, "12000" if number % 20 == 0 else "")
    if number % 500 == 0:
        yield _Line(f"A{number}", "B", 1, at, -1_106_206 if number % 1000 else 1_106_206, "")


def _opening_hours(rng: random.Random, day: datetime) -> datetime:
    return day + timedelta(minutes=round(rng.triangular(7 * 60, 20 * 60, 12.5 * 60)))
