"""The addresses of the two servers: of those that the stack starts, or of others that the environment names."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

LOCAL_SERVERS = "LOCAL_SERVERS"
"""A line of `.local/env`: which of its addresses are servers of the stack itself. A shell that has sourced the
file has these addresses in its environment; without this line they would be taken for servers of others."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """The addresses of the two servers, for people and for the stack itself."""

    bootstrap: str
    database: str
    """The database's address for people and tools."""
    admin_dsn: str
    """The same database for the stack itself, as a role that may create roles and schemas."""

    def dsn_of(self, role: str, password: str) -> str:
        """The address of the same database for a service's runtime role."""
        parts = urlsplit(self.admin_dsn)
        where = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{role}:{quote(password, safe='')}@{where}"))

    @property
    def digest(self) -> str:
        """A hash that differs between wirings and shows no password."""
        return hashlib.sha256(f"{self.bootstrap} {self.admin_dsn}".encode()).hexdigest()[:16]


def external(variable: str) -> str | None:
    """The address of a server that the stack did not start, from the environment; None if there is none."""
    address = os.environ.get(variable)
    return address if address and address not in os.environ.get(LOCAL_SERVERS, "").split(",") else None


def silent(variable: str, address: str) -> str:
    """The message when nothing answers at the address in a variable."""
    return (
        f"{variable} names {address}, where nothing answers: "
        "start that server, or unset the variable to have one started here."
    )
