"""What the notifier reads from its environment, besides what every service reads."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from services.kit.event_time import MAX_EVENT_AGE_DAYS
from services.kit.settings import Settings


class NotifierSettings(Settings):
    """Settings of the notifier."""

    service: ClassVar[str] = "notifier"

    http_port: int = Field(default=8003, ge=0, le=65_535, description="Port the workers share.")
    gather_seconds: float = Field(default=0.2, ge=0, le=1, description="As for every service; nobody waits here.")
    shop_name: str = Field(
        default="", max_length=100, description="The shop as members know it; by default the program's name."
    )
    default_locale: str = Field(
        default="zh-CN",
        pattern=r"^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8}){0,3}$",
        description="The locale of members who have not chosen one.",
    )
    default_country: str = Field(
        default="CN",
        pattern=r"^[A-Z]{2}$",
        description="The country (ISO 3166) of telephone numbers without one.",
    )
    sms_signature: str = Field(
        default="", max_length=100, description="The registered signature; by default the shop's name."
    )
    email_from: str = Field(default="members@shop.example", max_length=320, description="The sender address of mail.")
    max_event_age_days: int = Field(
        default=MAX_EVENT_AGE_DAYS, ge=1, description="Events with an older business time are refused as too_late."
    )
