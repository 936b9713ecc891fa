"""Epochs (C3): what a service publishes after it was restored from a backup is newer than all that it published before.

A member's versions start again where the backup left them. Readers of facts drop what is not newer than the last that
they have seen, so a fact carries its epoch, and epochs are compared first.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.kit.postgres import Connection, connect
from services.kit.settings import Settings

VERSIONS: Final = 2**40
"""More versions than a member has in an epoch."""
_OTHER_SESSIONS: Final = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name LIKE $1 AND pid <> pg_backend_pid()"
)
_BEGIN: Final = "INSERT INTO epoch (number) SELECT coalesce(max(number), 0) + 1 FROM epoch RETURNING number"


def version_of(data: Mapping[str, Any]) -> int:
    """The version of a fact's member as a number that grows over epochs as well."""
    return data.get("epoch", 0) * VERSIONS + data["member_version"]  # type: ignore[no-any-return]


def numbered(epoch: int, version: int, event_no: int) -> dict[str, int]:
    """What a fact says of its place; the first epoch is not named."""
    place = {"member_version": version, "event_no": event_no}
    return {"epoch": epoch, **place} if epoch else place


def fact_id(member_id: str, epoch: int, version: int, event_no: int) -> str:
    """The id of a fact. Another epoch has the same versions for other facts, so it is part of the id."""
    place = f"{member_id}:{version}:{event_no}"
    return f"{place}:e{epoch}" if epoch else place


async def begin(connection: Connection, service: str) -> int:
    """Begin an epoch after a restore from a backup; its number. Raises StillRunning while the service has sessions."""
    others = await connection.fetchval(_OTHER_SESSIONS, f"{service}-%")
    if others:
        raise StillRunning(f"The {service} has {others} open sessions: stop it first, or its facts are of two epochs.")
    number: int = await connection.fetchval(_BEGIN)
    return number


class StillRunning(Exception):
    """The service has not been stopped."""


async def restored(settings: Settings, arguments: Sequence[str]) -> int:
    """Begin an epoch, after the service's schema was restored from a backup and before the service is started."""
    argparse.ArgumentParser(prog=f"python -m services.{settings.service} restored").parse_args(arguments)
    connection = await connect(settings, part="restored")
    try:
        number = await begin(connection, settings.service)
    except StillRunning as running:
        sys.stderr.write(f"{running}\n")
        return 1
    finally:
        await connection.close()
    sys.stdout.write(f"Epoch {number} has begun: what is published from now on is newer than all before.\n")
    return 0
