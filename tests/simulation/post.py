"""Messages between accounts: each is delivered at least once, late, and in any order between shards."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple

from schemas.events import parse_event
from services.ledger.domain.state.inputs import AnyInput
from services.ledger.events.inbound import input_of


class Sealed(NamedTuple):
    """A row of the outbox: the shard whose transaction wrote it, and the record that it is to become."""

    shard: int
    key: bytes
    value: bytes


Collect = Callable[[], Awaitable[Sequence[Sealed]]]
"""What was committed for other accounts since the last look, in the order of each shard."""


class Message(NamedTuple):
    """A message to an account, as its input."""

    to: str
    input_: AnyInput


class Post:
    """Delivers what was collected. A shard's messages leave in order; some may be delivered twice."""

    def __init__(self, rng: random.Random) -> None:
        self._random = rng
        self._waiting: defaultdict[int, deque[Message]] = defaultdict(deque)
        self._delivered: list[Message] = []

    def collect(self, messages: Sequence[Sealed]) -> None:
        """Take in what is to be delivered."""
        for sealed in messages:
            event = parse_event(sealed.value)
            input_ = input_of(event, "", 0)
            assert input_ is not None
            assert event["subject"].encode() == sealed.key
            self._waiting[sealed.shard].append(Message(event["subject"], input_))

    def deliver(self, share: float) -> Iterator[Message]:
        """About so much of what waits; now and then something for the second time."""
        rng = self._random
        left = sum(map(len, self._waiting.values()))
        for _ in range(left if share >= 1 else int(left * share)):
            shard = rng.choice([shard for shard, messages in self._waiting.items() if messages])
            message = self._waiting[shard].popleft()
            self._delivered.append(message)
            yield message
            while rng.random() < 0.08:
                yield rng.choice(self._delivered)
