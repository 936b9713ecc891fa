"""The invariants of a stack at rest, checked by each service's own `verify` command.

A check that cannot run counts as broken: a figure without its check is worth nothing.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from typing import Any

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
    """The verdicts of all services, in the order of `SERVICES`."""
    return await asyncio.gather(*(verify(service, stack) for service in SERVICES))


async def verify(service: str, stack: Stack) -> Verdict:
    """Run one service's check in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"services.{service}",
        "verify",
        "--json",
        stdout=asyncio.subprocess.PIPE,
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
        return Verdict(service, False, {"error": f"no answer within {VERIFY_TIMEOUT_SECONDS:.0f} s"})
    answer = _last_object(out)
    if answer is None:
        answer = {"error": err.decode(errors="replace").strip()[-500:] or f"exit code {process.returncode}"}
    return Verdict(service, process.returncode == 0 and "error" not in answer, answer)


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
