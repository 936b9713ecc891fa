"""The settings of the ledger, beside those of every service."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from services.kit.settings import Settings


class LedgerSettings(Settings):
    """Settings of the ledger service."""

    service: ClassVar[str] = "ledger"

    http_port: int = Field(default=8001, ge=0, le=65_535, description="Port the workers share.")
    workers: int = Field(default=2, ge=1, description="Worker processes; each runs every part.")
    max_jump_days: int = Field(
        default=7,
        ge=1,
        description="Most local days that are closed at once after a jump of time; more wait for `proceed`.",
    )
    sweep_batch: int = Field(
        default=500,
        ge=1,
        description="Most accounts of a sweeper's batch; fewer while commands wait.",
    )
