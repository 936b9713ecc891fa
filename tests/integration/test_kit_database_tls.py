"""TLS to PostgreSQL, against a server of the test that speaks its first words and no more."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from services.kit.postgres import connect, new_pool
from tests.certificates import Authority
from tests.greeter.service import GreeterSettings

SSL_REQUEST = bytes.fromhex("0000000804d2162f")


class Server:
    """Takes the request for TLS, and notes what is said inside it."""

    def __init__(self, certificate: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self.heard: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            first = await reader.readexactly(8)
            if first != SSL_REQUEST:
                self.heard.append(b"in clear")
                return
            writer.write(b"S")
            await writer.start_tls(self._context)
            self.heard.append(await reader.read(200))
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
            self.heard.append(b"turned away")
        finally:
            writer.close()


@asynccontextmanager
async def server_with(certificate: Path) -> AsyncIterator[Server]:
    made = Server(certificate)
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as listening:
        made.port = listening.sockets[0].getsockname()[1]
        yield made


@pytest.mark.parametrize(
    ("host", "trusted", "sslmode", "heard"),
    [
        ("127.0.0.1", True, "verify-full", "greeter"),
        ("127.0.0.1", False, "verify-full", "turned away"),
        ("db.example", True, "verify-full", "turned away"),
        ("db.example", True, "verify-ca", "greeter"),
        ("db.example", False, "require", "greeter"),
        ("127.0.0.1", True, "disable", "in clear"),
    ],
)
async def test_mend_d03_tls_to_the_database_is_as_the_settings_say(
    host: str, trusted: bool, sslmode: str, heard: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    other = Authority(tmp_path / "other", "another authority")
    root = (authority if trusted else other).file if sslmode.startswith("verify") else None
    async with server_with(authority.sign("postgres", host=host).both_file) as server:
        settings = _settings(server.port, database_sslmode=sslmode, database_ssl_root_cert=root)
        with pytest.raises(Exception):  # noqa: B017 - it is no PostgreSQL, so no connection comes about
            await connect(settings, part="test")
        pool = await new_pool(settings)
        with pytest.raises(Exception):  # noqa: B017
            await pool.fetchval("SELECT 1")
        pool.terminate()
        async with asyncio.timeout(10):
            while len(server.heard) < 2:  # noqa: ASYNC110 - a moment after the client has given up
                await asyncio.sleep(0.01)
        assert all(heard.encode() in words for words in server.heard)


def _settings(port: int, **more: Any) -> GreeterSettings:
    return GreeterSettings(
        database_url=SecretStr(f"postgresql://greeter:secret@127.0.0.1:{port}/loyalty"),
        kafka_bootstrap_servers="127.0.0.1:1",
        **more,
    )
