"""Whether the outbox gets emptied: each shard is relayed by somebody, and the oldest row does not stay.

Every worker looks, whichever parts it runs: a service whose relays are all gone has nobody else to say so. Ids are
handed out in order, so how far they were at an instant is the age of every row: a look writes that down, if it has
changed, and rows need no column for their time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from services.kit import metrics
from services.kit.part import State
from services.kit.postgres import Queries
from services.kit.shard_locks import LEASE_SECONDS, Holder, holders

if TYPE_CHECKING:
    from services.kit.postgres import Pool
    from services.kit.settings import Settings

_SQL: Final = Queries.load("services.kit", "sql/outbox.sql", require=("oldest", "mark", "age", "forget_marks"))

UNHELD_SECONDS: Final = 60.0
"""For so long a shard may be relayed by nobody: the group takes 30 s to notice a lost worker, and a lease 45."""
LOOK_SECONDS: Final = 10.0
"""How often to look."""


class OutboxWatch:
    """The check `outbox`: looks at the shards' holders and at the oldest row that waits."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._settings = settings
        self._pool = pool
        self._unheld_since: dict[int, float] = {}
        self._oldest: int | None = None
        self._oldest_since = 0.0

    async def __call__(self) -> State:
        """Looks once, sets the metrics, and says what is wrong."""
        async with self._pool.acquire() as connection:
            found = await holders(connection, self._settings.service)
            oldest = await connection.fetchval(_SQL.oldest, self._settings.shards)
            await connection.execute(_SQL.mark)
            age = float(await connection.fetchval(_SQL.age, oldest) or 0.0)
            await connection.execute(_SQL.forget_marks, oldest)
        now = time.monotonic()
        unheld = self._unheld(found, now)
        if oldest is None or oldest != self._oldest:
            self._oldest, self._oldest_since = oldest, now
        metrics.gauge("outbox_oldest_seconds", age)
        metrics.gauge("outbox_unheld_shards", len(self._unheld_since))
        stays = now - self._oldest_since if oldest is not None else 0.0
        return self._assess(unheld, stays, {"oldest_seconds": round(age, 1), "unheld_shards": len(self._unheld_since)})

    def _unheld(self, found: list[Holder], now: float) -> list[int]:
        """The shards that nobody has relayed for too long."""
        held = {holder.shard for holder in found if holder.silent <= LEASE_SECONDS}
        unheld = [shard for shard in range(self._settings.shards) if shard not in held]
        self._unheld_since = {shard: self._unheld_since.get(shard, now) for shard in unheld}
        return [shard for shard, since in self._unheld_since.items() if now - since > UNHELD_SECONDS]

    def _assess(self, unheld: list[int], stays: float, figures: dict[str, float | int | str | None]) -> State:
        if unheld:
            detail = f"nobody relays the shards {', '.join(map(str, unheld))}"
            remedy = "Start a worker with the part relay; facts wait in the outbox and nothing is lost."
            return State(False, detail, remedy, figures)
        if stays > self._settings.stalled_after_seconds:
            detail = f"the oldest row of the outbox, {self._oldest}, has not moved for {stays:.0f} s"
            return State(False, detail, "See the part relay of each worker; the row is kept.", figures)
        return State(True, figures=figures)
