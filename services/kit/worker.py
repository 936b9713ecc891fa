"""One worker process as the parts of a service see it: its settings, its pools, its number, its port."""

from __future__ import annotations

import socket
from typing import Final, Generic, TypeVar

from services.kit.database_clock import DatabaseClock
from services.kit.health import Health
from services.kit.postgres import Pool
from services.kit.settings import Settings
from services.kit.worker_status import WorkerStatus

S = TypeVar("S", bound=Settings)


class Worker(Generic[S]):
    """What the service's `wire` builds its parts from."""

    def __init__(
        self,
        settings: S,
        pool: Pool,
        reads: Pool,
        *,
        number: int = 0,
        status: WorkerStatus | None = None,
        port: int | None = None,
    ) -> None:
        self.settings: Final = settings
        self.pool: Final = pool
        """What books. Connects when it is first used."""
        self.reads: Final = reads
        """What answers requests that only read: they wait for each other, and never hold up what books."""
        self.clock: Final = DatabaseClock(settings, pool)
        """The present instant, as the database has it."""
        self.number: Final = number
        """0, 1, … among the service's workers."""
        self.status: Final = status or WorkerStatus()
        self.health: Final = Health(self.status)
        """A service may add checks of its own."""
        self._port = settings.http_port if port is None else port

    def listen(self) -> socket.socket:
        """A listening socket on the service's port, which the workers share."""
        return bind(self.settings.http_host, self._port)

    async def close(self) -> None:
        """Closes the pools, once nobody uses them."""
        await self.reads.close()
        await self.pool.close()

    def terminate(self) -> None:
        """Ends the pools with what they still do."""
        self.reads.terminate()
        self.pool.terminate()


def bind(host: str, port: int) -> socket.socket:
    """A socket on a port that others of this user may share."""
    shared = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    shared.bind((host, port))
    return shared
