"""Orders that are paid in part with points: which of a file, with how many, and the holds made for them over HTTP.

The file has no points, so a seed decides. If a hold is refused because the member has fewer points than expected, the
order is paid with money alone. Each request is derived from its order, so repeating it changes nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Any

import httpx

from deploy.shop.day import POINTS_PER_UNIT
from deploy.shop.online_retail import Invoice, Shop
from deploy.shop.replay import PointsUsed, member_id

SHARE = 0.3
"""Of the orders whose member should have points by then."""
MAX_OF_ORDER = 0.5
"""The largest part of an order that is paid with points."""
SHORT_SECONDS = 1
"""How long a hold stays open that is to time out."""
LONG_SECONDS = 3_600
"""Longer than a part of the file takes to be booked."""

_HTTP_SECONDS = 30.0
_AT_ONCE = 16


class Ending(StrEnum):
    """How a checkout and its hold end."""

    PAID = "paid"
    PAID_LATE = "paid_late"
    """The order arrives after the hold has timed out; it is honoured, since the order was paid before (P7)."""
    RELEASED = "released"
    LEFT = "left"
    """The checkout is abandoned and nobody releases the hold: it times out."""


_ENDINGS = {Ending.PAID: 80, Ending.PAID_LATE: 6, Ending.RELEASED: 8, Ending.LEFT: 6}


@dataclass(frozen=True, slots=True)
class Checkout:
    """An order that is to be paid in part with points."""

    order_id: str
    member_id: str
    points: int
    """Worth whole units of the currency."""
    ending: Ending

    @property
    def ttl_seconds(self) -> int:
        """How long its hold stays open."""
        return SHORT_SECONDS if self.ending in (Ending.PAID_LATE, Ending.LEFT) else LONG_SECONDS


@dataclass(slots=True)
class ExpectedPoints:
    """The points that each customer should have by now, estimated low from the file alone: a point for each unit paid
    and not sent back. The ledger has the true balance and may refuse."""

    seed: int
    decimals: int
    _points: Counter[str] = field(default_factory=Counter)

    def checkouts(self, part: Shop) -> list[Checkout]:
        """The checkouts of a part of the file, out of the points earned before it."""
        made = list(self._draw(part.invoices))
        unit = 10**self.decimals
        for invoice in part.invoices:
            self._points[invoice.customer] += sum(line.amount for line in invoice.lines) // unit
        for refund in part.refunds:
            # At twice the basic rate: points that were earned at a higher rate are clawed back at it.
            self._points[refund.customer] -= 2 * sum(amount for _, amount in refund.lines.values()) // unit
        return made

    def _draw(self, invoices: Iterable[Invoice]) -> Iterator[Checkout]:
        for invoice in invoices:
            drawn = random.Random(f"{self.seed}:{invoice.number}")
            units = sum(line.amount for line in invoice.lines) // 10**self.decimals
            most = min(self._points[invoice.customer] // POINTS_PER_UNIT, int(units * MAX_OF_ORDER))
            if drawn.random() >= SHARE or most < 1:
                continue
            points = drawn.randint(1, most) * POINTS_PER_UNIT
            self._points[invoice.customer] -= points
            ending = drawn.choices(list(_ENDINGS), list(_ENDINGS.values()))[0]
            yield Checkout(invoice.number, member_id(invoice.customer), points, ending)


class Till(AbstractAsyncContextManager["Till"]):
    """Makes the holds of checkouts. httpx.HTTPError when the ledger does not answer or fails unexpectedly."""

    def __init__(self, ledger_url: str, token: str) -> None:
        self.answers: Counter[str] = Counter()
        """How many checkouts ended how, or why their hold was refused."""
        self._http = httpx.AsyncClient(
            base_url=ledger_url, headers={"Authorization": f"Bearer {token}"}, timeout=_HTTP_SECONDS
        )
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def __aenter__(self) -> Till:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def hold(self, checkouts: Sequence[Checkout]) -> dict[str, PointsUsed]:
        """Hold the points of all; returns, by order, the points and hold that its payment names, once short holds have
        timed out."""
        holds = await asyncio.gather(*(self._hold(checkout) for checkout in checkouts))
        used: dict[str, PointsUsed] = {}
        over = datetime.now(UTC)
        for checkout, hold in zip(checkouts, holds, strict=True):
            if hold is None:
                continue
            if checkout.ttl_seconds == SHORT_SECONDS:
                over = max(over, datetime.fromisoformat(hold["expires_at"]))
            if checkout.ending in (Ending.PAID, Ending.PAID_LATE):
                used[checkout.order_id] = PointsUsed(hold["hold_id"], checkout.points)
        await asyncio.sleep(max((over - datetime.now(UTC)).total_seconds(), 0))
        return used

    async def _hold(self, checkout: Checkout) -> Mapping[str, Any] | None:
        """The hold, released again if the checkout ends so; None if it was refused."""
        name = f"checkout-{checkout.order_id}"
        asked = {"points": checkout.points, "reference": name, "ttl_seconds": checkout.ttl_seconds}
        async with self._turns:
            answer = await self._http.post(
                f"/v1/members/{checkout.member_id}/holds", json=asked, headers={"Idempotency-Key": name}
            )
            hold: dict[str, Any] = answer.json()
            if answer.status_code == httpx.codes.CONFLICT:
                self.answers[str(hold["type"]).rpartition(":")[2]] += 1
                return None
            answer.raise_for_status()
            if checkout.ending is Ending.RELEASED:
                release = await self._http.post(
                    f"/v1/holds/{hold['hold_id']}/release", headers={"Idempotency-Key": name}
                )
                release.raise_for_status()
        self.answers[checkout.ending.value] += 1
        return hold
