"""The command `verify` of a service: examines what is stored, prints one line of JSON, and exits with 1 on a fault."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import orjson

from services.kit.postgres import Connection, connect
from services.kit.settings import Settings

MAX_EXAMPLES: Final = 20
"""How many faults a report names."""

Examine = Callable[[Connection], Awaitable[dict[str, Any]]]
"""Reads what is stored and answers a report, which contains what `verdict` makes of the faults."""


async def run_verify(
    settings: Settings, arguments: list[str], examine: Examine, *, usage: str = "verify [--json]"
) -> int:
    """Run the command `verify [--json]`; answers its exit code: 0, 1 for faults, 2 for wrong arguments."""
    if arguments not in ([], ["--json"]):
        sys.stderr.write(f"usage: {usage}\n")
        return 2
    connection = await connect(settings, part="verify")
    try:
        report = await examine(connection)
    finally:
        await connection.close()
    sys.stdout.write(orjson.dumps(report).decode() + "\n")
    return 1 if report["broken"] else 0


def verdict(faults: Sequence[str]) -> dict[str, Any]:
    """How many faults there are, and the first of them: `{broken, examples}`."""
    return {"broken": len(faults), "examples": list(faults[:MAX_EXAMPLES])}
