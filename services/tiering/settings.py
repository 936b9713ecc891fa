"""What tiering reads from its environment, besides what every service reads."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from services.kit.event_time import MAX_EVENT_AGE_DAYS
from services.kit.settings import Settings


class TieringSettings(Settings):
    """Settings of the tiering service."""

    service: ClassVar[str] = "tiering"

    http_port: int = Field(default=8002, ge=0, le=65_535, description="Port the workers share.")
    gather_seconds: float = Field(default=0.2, ge=0, le=1, description="As for every service; nobody waits here.")
    max_event_age_days: int = Field(
        default=MAX_EVENT_AGE_DAYS,
        ge=1,
        description="A registration whose business time is longer ago is refused as too late.",
    )
