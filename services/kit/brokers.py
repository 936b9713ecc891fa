"""How every client of ours reaches the brokers: addresses, TLS and SASL, as the settings say."""

from __future__ import annotations

import asyncio
import ssl
import time
from base64 import b64encode
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

import msgspec
from aiokafka.abc import AbstractTokenProvider
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

TOKEN_SECONDS: Final = 5.0
"""How long the issuer of a token may take."""
EARLY_SECONDS: Final = 30.0
"""So long before its end a token is replaced."""


class BrokerSettings(BaseSettings):
    """The settings of a client of the brokers."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True)

    kafka_bootstrap_servers: str = Field(description="host:port[,host:port…] of the brokers.")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="TLS (SSL), a login (SASL), or both, to the brokers."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        default="SCRAM-SHA-512", description="How to log in, where the protocol begins with SASL."
    )
    kafka_username: str | None = Field(default=None, description="Whom to log in as; the client id of OAUTHBEARER.")
    kafka_password: SecretStr | None = Field(default=None, description="The password, or the client secret.")
    kafka_oauth_token_url: str | None = Field(
        default=None, description="Where OAUTHBEARER gets its tokens, by the grant of client credentials."
    )
    kafka_oauth_scope: str | None = Field(default=None, description="The scope that is asked for there, if any.")
    kafka_ssl_ca_file: Path | None = Field(
        default=None, description="The authority that brokers' certificates are verified by, as a PEM file; by default "
        "those that the system trusts.",
    )  # fmt: skip
    kafka_ssl_certificate_file: Path | None = Field(
        default=None, description="Our own certificate and its chain, as a PEM file: mTLS."
    )
    kafka_ssl_key_file: Path | None = Field(default=None, description="Its key, if it is not in the same file.")

    replication_factor: int = Field(
        default=3, ge=1, description="Brokers that every topic must be on; with fewer the service is not well."
    )
    min_insync_replicas: int = Field(
        default=2, ge=1, description="How many of them have a record before it counts as sent; likewise."
    )

    @model_validator(mode="after")
    def _has_what_its_protocol_needs(self) -> BrokerSettings:
        if not self.kafka_security_protocol.startswith("SASL"):
            return self
        needed = ["kafka_username", "kafka_password"]
        if self.kafka_sasl_mechanism == "OAUTHBEARER":
            needed.append("kafka_oauth_token_url")
        if missing := [name.upper() for name in needed if getattr(self, name) is None]:
            raise ValueError(f"{self.kafka_security_protocol} needs {' and '.join(missing)}")
        return self


def connection_of(settings: BrokerSettings) -> dict[str, Any]:
    """The arguments of an aiokafka client that say where and how it connects. OSError, ssl.SSLError where a file of
    the settings cannot be read."""
    protocol = settings.kafka_security_protocol
    arguments: dict[str, Any] = {"bootstrap_servers": settings.kafka_bootstrap_servers, "security_protocol": protocol}
    if protocol.endswith("SSL"):
        arguments["ssl_context"] = _context(settings)
    if protocol.startswith("SASL"):
        arguments["sasl_mechanism"] = settings.kafka_sasl_mechanism
        if settings.kafka_sasl_mechanism == "OAUTHBEARER":
            arguments["sasl_oauth_token_provider"] = ClientCredentials(settings)
        else:
            assert settings.kafka_password is not None
            arguments["sasl_plain_username"] = settings.kafka_username
            arguments["sasl_plain_password"] = settings.kafka_password.get_secret_value()
    return arguments


def _context(settings: BrokerSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.kafka_ssl_ca_file)
    if settings.kafka_ssl_certificate_file is not None:
        context.load_cert_chain(settings.kafka_ssl_certificate_file, settings.kafka_ssl_key_file)
    return context


class _Token(msgspec.Struct):
    """What an issuer answers (RFC 6749, 5.1)."""

    access_token: str
    expires_in: float = 300.0


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka.abc has no annotations
    """Tokens for OAUTHBEARER by the grant of client credentials, kept until shortly before they end."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._asking = asyncio.Lock()
        self._token = ""
        self._ends_at = 0.0

    async def token(self) -> str:
        """A token that is valid for a while. Raises OSError, msgspec.DecodeError."""
        async with self._asking:
            if time.monotonic() > self._ends_at:
                answer = msgspec.json.decode(await asyncio.to_thread(self._ask), type=_Token)
                self._token = answer.access_token
                self._ends_at = time.monotonic() + max(0.0, answer.expires_in - EARLY_SECONDS)
            return self._token

    def _ask(self) -> bytes:
        settings = self._settings
        assert settings.kafka_oauth_token_url is not None
        assert settings.kafka_username is not None
        assert settings.kafka_password is not None
        form = {"grant_type": "client_credentials"}
        if settings.kafka_oauth_scope is not None:
            form["scope"] = settings.kafka_oauth_scope
        # RFC 6749, 2.3.1: both are form-encoded before they are joined.
        client = f"{quote(settings.kafka_username)}:{quote(settings.kafka_password.get_secret_value())}"
        request = Request(  # noqa: S310 - the operator's address
            settings.kafka_oauth_token_url,
            urlencode(form).encode(),
            {"Authorization": f"Basic {b64encode(client.encode()).decode()}"},
        )
        with urlopen(request, timeout=TOKEN_SECONDS) as answer:  # noqa: S310
            body: bytes = answer.read()
        return body
