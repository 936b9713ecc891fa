"""How long no broker has answered a consumer's client: it may hang without saying so."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from aiokafka import TopicPartition

SILENT_SECONDS: Final = 30.0
"""A client that got no answer from any broker for so long is dropped, and a new one built."""
QUIET_SECONDS: Final = 5.0
"""Without an answer from the brokers for so long, the consumer is not well."""


class Silence:
    """Since when no broker has answered."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def end(self) -> None:
        """Says that a broker has answered, or that none was asked."""
        self._since = time.monotonic()

    def lasts(self, client: Any, asked: Iterable[TopicPartition]) -> bool:
        """Whether the brokers have said nothing of these partitions for `QUIET_SECONDS`. Raises TimeoutError after
        `SILENT_SECONDS`."""
        answered = 0
        for partition in asked:
            with suppress(Exception):
                answered = max(answered, client.last_poll_timestamp(partition) or 0)
        if time.time() - answered / 1000 < QUIET_SECONDS:
            self.end()
        silent = time.monotonic() - self._since
        if silent > SILENT_SECONDS:
            raise TimeoutError(f"no answer from any broker for {silent:.0f} s")
        return silent > QUIET_SECONDS
