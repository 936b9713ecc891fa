"""Submitting the inputs of a job: one that fails is its account's matter, and the others of its page are booked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from services.kit.executor import Executor
from services.kit.kafka import Shard
from services.kit.postgres import is_unavailable
from services.ledger.inputs import MemberInput


async def submit_all(
    executor: Executor[Any, Any], shard: Shard, inputs: Sequence[MemberInput]
) -> list[Exception | None]:
    """Submits inputs that nobody waits for, side by side. Answers for each what it has raised, or why it was refused;
    None where it was booked. Raises what is no input's fault: a database that is away.
    """
    answers = await asyncio.gather(
        *(executor.submit(shard, input_, background=True) for input_ in inputs), return_exceptions=True
    )
    failures: list[Exception | None] = []
    for answer in answers:
        if isinstance(answer, BaseException) and (not isinstance(answer, Exception) or is_unavailable(answer)):
            raise answer
        failures.append(answer if isinstance(answer, Exception) else None)
    return failures
