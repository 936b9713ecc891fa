"""What every service reads from its environment. A service derives its own class and adds its fields."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, SecretStr

from services.kit.brokers import BrokerSettings


class Settings(BrokerSettings):
    """The settings that all services share, with those of the brokers; each
    is an environment variable of the field's name in capitals.

    Addresses that may hold a password are secrets: they show as stars in any repr, log or error.
    """

    service: ClassVar[str] = ""
    """The service's name: its schema, runtime role, consumer group, and `/loyalty/<name>` as event source."""

    database_url: SecretStr = Field(description="PostgreSQL as the service's runtime role.")
    migration_database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL as a role that may create roles and schemas; `migrate` alone uses it.",
    )
    runtime_password: SecretStr | None = Field(
        default=None,
        description="The password `migrate` gives the service's runtime role; without it the role keeps what it has.",
    )
    database_sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = Field(
        default=None,
        description="TLS to PostgreSQL; verify-full is what keeps somebody on the way out. By default as the address "
        "says, and without TLS where it says nothing and the server offers none.",
    )
    database_ssl_root_cert: Path | None = Field(
        default=None, description="The authority's certificate for verify-ca and verify-full, as a PEM file."
    )
    database_connections: int = Field(default=4, ge=2, description="Connections of one worker process.")
    read_connections: int = Field(
        default=3, ge=1, description="Connections of one worker process for requests that only read."
    )
    read_timeout_seconds: float = Field(
        default=3.0, gt=0, le=60, description="How long a statement of a request that only reads may take."
    )
    concurrent_shards: int = Field(
        default=2, ge=1, description="Shards of one worker that are in a transaction at the same time."
    )

    shards: int = Field(default=16, ge=1, description="Partitions of every member-keyed topic.")
    max_batch: int = Field(default=1000, ge=1, description="Most records (or commands) in one transaction.")
    gather_seconds: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="After a read or a relay's round that brought little, how long to let more come together: a read "
        "of all partitions, a transaction and a round cost much the same however little is in them.",
    )
    consumer_group: str | None = Field(
        default=None, description="The consumer group; by default the service's name. Offsets are in the database."
    )
    instance: str = Field(
        default_factory=socket.gethostname,
        description="Names this installation among those of one consumer group; stable over restarts.",
    )
    actor: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Who runs a command, as the audit names it; by default the system's user at INSTANCE.",
    )
    session_timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        description="How long the shards of a lost host's workers wait for them. One that is started again has its own "
        "at once, and where there are fewer workers than before, they share all of them.",
    )
    failure_limit: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of the last 1,000 records that may fail through our fault; above it, the consumer stops. "
        "What publishers get wrong does not count.",
    )
    stalled_after_seconds: float = Field(
        default=60.0, gt=0, description="Not well when records wait and none was booked for so long."
    )

    jwks_url: str | None = Field(default=None, description="Address of the JSON Web Key Set that signs tokens.")
    jwks_file: Path | None = Field(default=None, description="The key set as a file, instead of an address.")
    jwt_issuer: str | None = Field(
        default=None, description="The `iss` that tokens must carry; required to serve, unless DEVELOPMENT=1."
    )
    jwt_audience: str | None = Field(
        default=None, description="The `aud` that tokens must carry; required to serve, unless DEVELOPMENT=1."
    )
    development: bool = Field(
        default=False,
        description="1 on a developer's machine or in a test, where what protects a shop may be left out.",
    )
    event_sources: dict[str, list[str]] = Field(
        default={},
        description='Which source may say which types of the shop\'s events, as JSON: {"/shop/orders": '
        '["commerce.order.*"]}; a * at the end of a name stands for any rest. Unset: every source may say everything.',
    )

    http_host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    http_port: int = Field(default=8000, ge=0, le=65_535, description="Port the workers share.")
    http_connections: int = Field(
        default=500, ge=1, description="Open connections of one worker; one more is answered 503 and closed."
    )
    http_requests: int = Field(
        default=400, ge=1, description="Requests of one worker that are being answered; one more is answered 503."
    )
    waiting_commands: int = Field(
        default=250,
        ge=1,
        description="Commands of one shard and worker that wait for their transaction; one more is answered 503.",
    )
    workers: int = Field(default=1, ge=1, description="Worker processes; each runs every part.")
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def missing_for_tokens(self) -> list[str]:
        """The variables without which no token may be accepted, and which are not set."""
        if self.development:
            return []
        return [name for name in ("JWT_ISSUER", "JWT_AUDIENCE") if getattr(self, name.lower()) is None]
