"""Where the two servers are, and whose they are: ours, or somebody else's by the environment."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

LOCAL_SERVERS = "LOCAL_SERVERS"
"""A line of `.local/env`: which of its addresses are servers of the stack itself, so that in a shell which has
sourced the file they are not taken for somebody else's."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """The addresses of the two servers: where they are, and for whom."""

    bootstrap: str
    database: str
    """The database as people and tools are told it."""
    admin_dsn: str
    """The same, as the stack enters it: a role that may create roles and schemas."""

    def dsn_of(self, role: str, password: str) -> str:
        """The same database, entered as a service's runtime role."""
        parts = urlsplit(self.admin_dsn)
        where = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{role}:{quote(password, safe='')}@{where}"))

    @property
    def digest(self) -> str:
        """Tells one wiring from another without saying passwords."""
        return hashlib.sha256(f"{self.bootstrap} {self.admin_dsn}".encode()).hexdigest()[:16]


def external(variable: str) -> str | None:
    """The address of a server that is not ours, as the environment gives it; None if it gives none."""
    given = os.environ.get(variable)
    return given if given and given not in os.environ.get(LOCAL_SERVERS, "").split(",") else None


def silent(variable: str, address: str) -> str:
    """What to say when nothing answers at an address that a variable gave."""
    return (
        f"{variable} names {address}, where nothing answers: "
        "start that server, or unset the variable to have one started here."
    )
