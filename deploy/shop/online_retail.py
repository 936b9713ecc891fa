"""Reading the Online Retail CSV format: lines sorted into classes, cancellations matched to purchases.

The columns are `InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country`.
An `InvoiceNo` that begins with `C` sends goods of earlier invoices back without naming them, so they are
matched here: to that customer's latest earlier line of the same item that has some of its quantity left,
lines of the same unit price first. Every line of the file falls into exactly one `LineClass`.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TextIO

# Of the shop's local time, like every time in the file.
_BEFORE_ALL = datetime(1, 1, 1)  # noqa: DTZ001


class LineClass(StrEnum):
    """What became of a line of the file."""

    PURCHASE = "sent_purchase"
    REFUND = "sent_refund"
    REFUND_IN_PART = "sent_refund_in_part"
    """Only a part of its quantity was found among earlier purchases; the rest is parked."""
    REFUND_UNMATCHED = "sent_refund_unmatched"
    GUEST = "guest"
    BAD_DEBT = "not_goods_bad_debt"
    STOCK_CORRECTION = "not_goods_stock_correction"
    """A negative quantity on an invoice that is no cancellation."""
    WITHOUT_PRICE = "not_goods_without_price"
    """Worth nothing in minor units."""


class Row(NamedTuple):
    """One line of the file, money in minor units of the currency it is read as."""

    number: int
    """Position in the file, from 1."""
    invoice: str
    sku: str
    quantity: int
    at: datetime
    """Local time of the shop, without a zone."""
    unit_price: Decimal
    customer: str


@dataclass(slots=True)
class PurchaseLine:
    """A line of an invoice and how much of its quantity has not been sent back."""

    line_id: int
    sku: str
    quantity: int
    amount: int
    unit_price: Decimal
    left: int


@dataclass(slots=True)
class Invoice:
    """One order of one customer."""

    number: str
    customer: str
    at: datetime
    lines: list[PurchaseLine] = field(default_factory=list)


@dataclass(slots=True)
class Refund:
    """What one cancellation sends back of one invoice; `order` is None for what matches no purchase."""

    number: str
    customer: str
    at: datetime
    order: str | None
    lines: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Quantity and amount sent back by line: of the order, else of the cancellation."""

    def add(self, line_id: int, quantity: int, amount: int) -> None:
        """Send back more of a line (a cancellation may name one item on several lines)."""
        before_quantity, before_amount = self.lines.get(line_id, (0, 0))
        self.lines[line_id] = (before_quantity + quantity, before_amount + amount)


@dataclass(frozen=True, slots=True)
class Shop:
    """The file as orders and refunds, each in the order of their times."""

    invoices: list[Invoice]
    refunds: list[Refund]
    classes: Counter[LineClass]
    last_at: datetime
    """The latest time of any line, also of those not sent."""

    @property
    def lines(self) -> int:
        """How many lines the file has: the sum over the classes."""
        return self.classes.total()


def read_shop(path: Path, *, decimals: int, limit: int | None = None) -> Shop:
    """Read (the first `limit` lines of) a `.csv` or `.csv.gz`; ValueError names a line of another format."""
    with _open(path) as file:
        return sort_lines(islice(read_rows(file), limit), decimals=decimals)


def read_rows(lines: Iterable[str]) -> Iterator[Row]:
    """The rows of the file; ValueError names a line that cannot be read."""
    reader = csv.reader(lines)
    header = next(reader, [])
    try:
        invoice, sku, quantity, at, price, customer = (
            header.index(name)
            for name in ("InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID")
        )
    except ValueError as error:
        raise ValueError(f"not the Online Retail format: {error} (header {header})") from None
    for number, cells in enumerate(reader, start=1):
        try:
            yield Row(
                number,
                cells[invoice],
                cells[sku],
                int(cells[quantity]),
                _local_time(cells[at]),
                _price(cells[price]),
                _customer(cells[customer]),
            )
        except (ValueError, ArithmeticError, IndexError) as error:
            raise ValueError(f"line {number + 1} cannot be read: {error}: {cells}") from error


def sort_lines(rows: Iterable[Row], *, decimals: int) -> Shop:
    """Sort the lines into classes, join them to invoices and match the cancellations."""
    scale = 10**decimals
    classes: Counter[LineClass] = Counter()
    invoices: dict[str, Invoice] = {}
    cancellations: dict[str, list[Row]] = defaultdict(list)
    last_at = _BEFORE_ALL
    for row in rows:
        last_at = max(last_at, row.at)
        line_class = classify(row, scale)
        if line_class is LineClass.REFUND:
            cancellations[row.invoice].append(row)
            continue
        classes[line_class] += 1
        if line_class is LineClass.PURCHASE:
            order = invoices.setdefault(row.invoice, Invoice(row.invoice, row.customer, row.at))
            amount = _minor(row.quantity, row.unit_price, scale)
            line_id = len(order.lines) + 1
            order.lines.append(PurchaseLine(line_id, row.sku, row.quantity, amount, row.unit_price, row.quantity))
    in_time = sorted(invoices.values(), key=lambda order: (order.at, order.number))
    refunds, refund_classes = _match(in_time, cancellations, scale)
    return Shop(in_time, refunds, classes + refund_classes, last_at)


def classify(row: Row, scale: int) -> LineClass:
    """A line's class, judged alone: goods or not, then whose, then which way. A refund is not matched yet."""
    if row.invoice.startswith("A"):
        return LineClass.BAD_DEBT
    cancels = row.invoice.startswith("C")
    if row.quantity == 0 or (row.quantity < 0) != cancels:
        return LineClass.STOCK_CORRECTION
    if _minor(abs(row.quantity), row.unit_price, scale) <= 0:
        return LineClass.WITHOUT_PRICE
    if not row.customer:
        return LineClass.GUEST
    return LineClass.REFUND if cancels else LineClass.PURCHASE


def _match(
    invoices: list[Invoice], cancellations: dict[str, list[Row]], scale: int
) -> tuple[list[Refund], Counter[LineClass]]:
    """Walk through time with each customer's purchases of each item as a stack, and take from its top."""
    bought: dict[tuple[str, str], list[tuple[Invoice, PurchaseLine]]] = defaultdict(list)
    classes: Counter[LineClass] = Counter()
    refunds: list[Refund] = []
    upcoming = iter(invoices)
    invoice = next(upcoming, None)
    for number, rows in sorted(cancellations.items(), key=lambda item: (item[1][0].at, item[0])):
        at, customer = rows[0].at, rows[0].customer
        while invoice is not None and invoice.at <= at:
            for line in invoice.lines:
                bought[invoice.customer, line.sku].append((invoice, line))
            invoice = next(upcoming, None)
        by_order: dict[str | None, Refund] = {}
        for position, row in enumerate(rows, start=1):
            needed = -row.quantity
            for order, line in _latest_first(bought[customer, row.sku], row.unit_price):
                taken = min(needed, line.left)
                line.left -= taken
                needed -= taken
                refund = by_order.setdefault(order.number, Refund(number, customer, at, order.number))
                refund.add(line.line_id, taken, _minor(taken, row.unit_price, scale))
                if not needed:
                    break
            if needed:
                refund = by_order.setdefault(None, Refund(number, customer, at, None))
                refund.add(position, needed, _minor(needed, row.unit_price, scale))
            classes[_refund_class(matched=needed < -row.quantity, unmatched=needed > 0)] += 1
        refunds.extend(by_order.values())
    return refunds, classes


def _latest_first(
    stack: list[tuple[Invoice, PurchaseLine]], unit_price: Decimal
) -> Iterator[tuple[Invoice, PurchaseLine]]:
    """The lines with something left: those of this unit price first, then the latest first."""
    for same_price in (True, False):
        for order, line in reversed(stack):
            if line.left and (line.unit_price == unit_price) == same_price:
                yield order, line


def _refund_class(*, matched: bool, unmatched: bool) -> LineClass:
    if matched and unmatched:
        return LineClass.REFUND_IN_PART
    return LineClass.REFUND if matched else LineClass.REFUND_UNMATCHED


def _minor(quantity: int, unit_price: Decimal, scale: int) -> int:
    return int((quantity * unit_price * scale).quantize(Decimal(1), ROUND_HALF_UP))


def _customer(cell: str) -> str:
    """The file has the numbers of customers as floats: `17850.0`."""
    return cell.removesuffix(".0")


# A quarter of a million lines share a few thousand of these.
@lru_cache(maxsize=4096)
def _price(cell: str) -> Decimal:
    price = Decimal(cell)
    if not price.is_finite():
        raise ValueError(f"not a price: {cell}")
    return price


@lru_cache(maxsize=4096)
def _local_time(cell: str) -> datetime:
    return datetime.fromisoformat(cell)


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")
