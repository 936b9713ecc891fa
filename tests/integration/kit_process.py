"""The greeter as a real service: its own processes, ended by real signals."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from deploy.local import kafka as kafka_server
from deploy.local.tokens import AUDIENCE, ISSUER
from tests.conftest import REPOSITORY
from tests.greeter.service import GreeterSettings
from tests.integration.kit_support import eventually


class Process:
    """A running `python -m tests.greeter serve`."""

    def __init__(self, popen: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.popen = popen
        self.url = f"http://127.0.0.1:{port}"
        self.log = log

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """One request on a connection of its own, so that any worker may get it."""
        async with httpx.AsyncClient() as client:
            return await client.get(self.url + path, headers=headers, timeout=5)

    async def ready(self) -> None:
        """Waits until /status says so."""

        async def asked() -> bool:
            assert self.popen.poll() is None, self.log.read_text()
            with suppress(httpx.TransportError):
                return (await self.get("/status")).status_code == 200
            return False

        await eventually(asked, seconds=40, what=f"ready; log: {self.log}")

    def workers(self) -> list[psutil.Process]:
        """The worker processes."""
        with suppress(psutil.NoSuchProcess):
            return list(psutil.Process(self.popen.pid).children())
        return []

    async def ended(self, seconds: float = 12.0) -> int:
        """Waits for the end and answers the exit code."""

        async def gone() -> bool:
            return self.popen.poll() is not None

        await eventually(gone, seconds=seconds, what="the end of the service")
        return int(self.popen.returncode)

    async def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return await self.ended()


@asynccontextmanager
async def served(
    settings: GreeterSettings, port: int, directory: Path, *arguments: str, **environment: Any
) -> AsyncIterator[Process]:
    """Runs the service and, whatever happens, leaves no process behind."""
    log = directory / f"greeter-{time.monotonic_ns()}.log"
    variables = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "CONSUMER_GROUP": str(settings.consumer_group),
        "SESSION_TIMEOUT_SECONDS": "6",
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
        "HELLOS": settings.hellos,
        "WAVES": settings.waves,
        "GREETINGS": settings.greetings,
        "MAX_BATCH": str(settings.max_batch),
        **kafka_server.ONE_BROKER,
    } | {name.upper(): str(value) for name, value in environment.items()}
    command = [sys.executable, "-m", "tests.greeter", "serve", "--port", str(port), *arguments]
    with log.open("wb") as file:
        popen = subprocess.Popen(  # noqa: ASYNC220 - it outlives this call, and starting it is quick
            command, env=variables, cwd=REPOSITORY, stdout=file, stderr=file
        )
    process = Process(popen, port, log)
    try:
        yield process
    finally:
        for pid in [worker.pid for worker in process.workers()] + [popen.pid] * (popen.poll() is None):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(popen.wait)
