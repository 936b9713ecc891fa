"""Where the running stack is: the process's environment, else what `make start` wrote to `.local/env`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

STACK_FILE = Path(".local/env")


class NotRunningError(Exception):
    """Neither the environment nor .local/env says where a stack runs. `make start` brings one up."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Addresses of the running servers and services. `token` holds the shop's scopes."""

    kafka_bootstrap_servers: str
    database_url: str
    ledger_url: str
    tiering_url: str
    notifier_url: str
    token: str

    @staticmethod
    def find(file: Path = STACK_FILE) -> Stack:
        """The stack to talk to; NotRunningError names what is missing."""
        values: Mapping[str, str] = {**_lines(file), **os.environ}
        try:
            return Stack(
                values["KAFKA_BOOTSTRAP_SERVERS"],
                values["DATABASE_URL"],
                values["LEDGER_URL"],
                values["TIERING_URL"],
                values["NOTIFIER_URL"],
                values["SHOP_TOKEN"],
            )
        except KeyError as missing:
            raise NotRunningError(f"{missing.args[0]} is not set; `make start` brings a stack up") from None


def _lines(file: Path) -> dict[str, str]:
    if not file.exists():
        return {}
    pairs = (line.partition("=") for line in file.read_text().splitlines() if "=" in line)
    return {name.strip(): "".join(shlex.split(value)) for name, _, value in pairs}
