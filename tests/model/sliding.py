"""E3: one lot for all open points, whose last day follows the member's last activity."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from tests.model.days import is_over
from tests.model.wallet import Wallet

FIRST = date.min
"""Such lots are numbered, as days long before any other lot's; the wallet knows their last days."""


class Sliding:
    """The lots of a member whose points stay as long as something is done.

    What is over is over: the next activity begins another lot, and only what is still pending moves there.
    """

    def __init__(self, wallet: Wallet) -> None:
        self.wallet = wallet
        self.lot = FIRST

    def reach(self, last_days: Iterable[date]) -> None:
        """The member did things that keep points until these days."""
        last_day = max(last_days, default=None)
        wallet = self.wallet
        if last_day is None:
            return
        if self.lot not in wallet.last_days:
            wallet.last_days[self.lot] = last_day
        elif not wallet.is_over((self.lot, None)):
            wallet.last_days[self.lot] = max(last_day, wallet.last_days[self.lot])
        elif not is_over(last_day, wallet.now, wallet.zone):
            self._begin(last_day)

    def _begin(self, last_day: date) -> None:
        over = self.wallet.lot((self.lot, None))
        self.lot = date.fromordinal(self.lot.toordinal() + 1)
        self.wallet.last_days[self.lot] = last_day
        self.wallet.lot((self.lot, None)).pending, over.pending = over.pending, 0
