"""A proxy before PostgreSQL that cuts the connection in COMMIT, where it hurts most, or falls silent as a lost host."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

Cut = Literal["before", "after", "late"]
"""The server never sees COMMIT; it has committed and the answer is lost; it gets COMMIT after the client has gone."""


class Proxy:
    """Forwards bytes; `cut_next` arms it for the next COMMIT."""

    def __init__(self, server: str, dsn: str) -> None:
        self._server = server
        self.dsn = dsn
        self.cut_next: list[Cut] = []
        self.cuts = 0
        self.down = False
        self.flows = asyncio.Event()
        """While it is clear, connections stay open and nothing gets through."""
        self.flows.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        if self.down:
            writer.close()
            return
        up_reader, up_writer = await asyncio.open_unix_connection(self._server)
        self._writers |= {writer, up_writer}
        back = asyncio.create_task(self._pump(up_reader, writer))
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await self.flows.wait()
                if b"COMMIT" in data and self.cut_next:
                    self.cuts += 1
                    how = self.cut_next.pop(0)
                    if how == "late":
                        writer.transport.abort()
                        await asyncio.sleep(0.5)
                    if how in ("after", "late"):
                        back.cancel()
                        up_writer.write(data)
                        await up_writer.drain()
                        await up_reader.read(65536)
                    writer.transport.abort()
                    break
                up_writer.write(data)
                await up_writer.drain()
        back.cancel()
        up_writer.close()
        writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await self.flows.wait()
                writer.write(data)
                await writer.drain()

    def break_all(self) -> None:
        """Drops every connection and takes no new one until `down` is False."""
        self.down = True
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


@asynccontextmanager
async def proxied(dsn: str) -> AsyncIterator[Proxy]:
    """A proxy before the server of a DSN over a Unix socket; connect by `proxy.dsn`."""
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    host, port = query["host"][0], query["port"][0]
    with tempfile.TemporaryDirectory(prefix="proxy-") as directory:
        proxy = Proxy(f"{host}/.s.PGSQL.{port}", dsn.replace(host, directory))
        server = await asyncio.start_unix_server(proxy.serve, Path(directory) / f".s.PGSQL.{port}")
        try:
            yield proxy
        finally:
            server.close()
            proxy.break_all()
