"""The invariants of a stack at rest, checked by each service's own `verify` command.

A check that cannot run counts as broken: a figure without its check is worth nothing.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import orjson

from deploy.shop.environment import Stack

SERVICES = ("ledger", "tiering", "notifier")
VERIFY_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `python -m services.<service> verify --json` answered."""

    service: str
    holds: bool
    answer: dict[str, Any]
    """Its JSON; `error` with the end of its output where it gave none."""


async def verify_all(stack: Stack) -> list[Verdict]:
    """The verdicts of all services, in the order of `SERVICES`. Tiering is held to what the ledger told it."""
    with TemporaryDirectory() as directory:
        told = Path(directory) / "timelines"
        with told.open("wb") as lines:
            ended = await _run(stack, "ledger", "timelines", to=lines)
        options = {"tiering": ["--told", str(told)]}
        verdicts = await asyncio.gather(*(verify(service, stack, *options.get(service, ())) for service in SERVICES))
    if ended.code:
        verdicts[SERVICES.index("ledger")] = Verdict("ledger", False, {"error": ended.trouble})
    return verdicts


async def verify(service: str, stack: Stack, *options: str) -> Verdict:
    """Run one service's check in a process of its own."""
    ended = await _run(stack, service, "verify", "--json", *options)
    answer = _last_object(ended.output)
    if answer is None:
        answer = {"error": ended.trouble}
    return Verdict(service, ended.code == 0 and "error" not in answer, answer)


@dataclass(frozen=True, slots=True)
class _Ended:
    code: int
    output: bytes
    trouble: str
    """The end of what it wrote to stderr, or its exit code."""


async def _run(stack: Stack, service: str, *arguments: str, to: IO[bytes] | int = asyncio.subprocess.PIPE) -> _Ended:
    """Run one of a service's own commands in a process of its own, until it ends or takes too long."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"services.{service}",
        *arguments,
        stdout=to,
        stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "DATABASE_URL": stack.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": stack.kafka_bootstrap_servers,
        },
    )
    try:
        async with asyncio.timeout(VERIFY_TIMEOUT_SECONDS):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return _Ended(1, b"", f"no answer within {VERIFY_TIMEOUT_SECONDS:.0f} s")
    code = process.returncode or 0
    return _Ended(code, out or b"", err.decode(errors="replace").strip()[-500:] or f"exit code {code}")


def _last_object(output: bytes) -> dict[str, Any] | None:
    """The JSON object that stands in the last line of an output, or in all of it."""
    lines = output.strip().splitlines()
    for text in (lines[-1] if lines else b"", output):
        try:
            answer = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue
        if isinstance(answer, dict):
            return answer
    return None
