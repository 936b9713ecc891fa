"""A member as the notifier knows one: contact details, consents and devices, each with its business time.

Every fact is merged by the business time it states, never by its arrival, so the facts of a member may come
in any order and any number of times and end in the same state:

- of two values of one field, consent or device the newer replaces the older, and never the other way round;
- at one instant a deletion beats a value and a withdrawal beats a grant (the careful reading), and of two
  values the greater text wins, so that the result does not depend on arrival;
- an erasure removes everything up to and including its instant. What a member enters afterwards, by joining anew,
  is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, get_args

import msgspec

from services.kit.calendar import Micros

Channel = Literal["sms", "email", "push", "inapp"]
MessageClass = Literal["service", "notice", "promo"]

CHANNELS: Final[tuple[Channel, ...]] = get_args(Channel)
CLASSES: Final[tuple[MessageClass, ...]] = get_args(MessageClass)

PROFILE_FIELDS: Final = (
    "name",
    "phone",
    "email",
    "birthday",
    "gender",
    "address",
    "locale",
    "timezone",
    "country",
    "referred_by",
)
"""The profile fields of the contract, all of them text here."""

NO_TIER: Final = "none"
"""The tier of a member who has reached none yet."""

NO_TIER_VERSION: Final = -1
"""The `tier_version` of a member of whom tiering has published nothing; every real version is greater."""

ASSUMED_CONSENT_VERSION: Final = 0
"""The consent version of a message whose consent is assumed, not recorded."""


class ProfileValue(msgspec.Struct, frozen=True):
    """The newest value of a profile field (None = deleted by the member) and the instant that set it."""

    value: str | None
    at: Micros

    def is_replaced_by(self, value: str | None, at: Micros) -> bool:
        """Whether another value of this field takes its place."""
        if at != self.at:
            return at > self.at
        if self.value is None or value is None:
            return self.value is not None
        return value > self.value


class Consent(msgspec.Struct, frozen=True):
    """A recorded consent or withdrawal for one channel and class, and the instant it was given."""

    granted: bool
    at: Micros

    @property
    def version(self) -> int:
        """What a request names as the consent it rests on: the instant of the consent, in microseconds."""
        return self.at

    def is_replaced_by(self, granted: bool, at: Micros) -> bool:
        """Whether another consent takes its place; at one instant a withdrawal does."""
        return at > self.at or (at == self.at and self.granted and not granted)


class Device(msgspec.Struct, frozen=True):
    """A device that can be pushed to: its platform, its push token, and the instant it was registered."""

    platform: str
    token: str
    at: Micros

    def is_replaced_by(self, platform: str, token: str, at: Micros) -> bool:
        """Whether another registration of the same device takes its place."""
        return (at, platform, token) > (self.at, self.platform, self.token)


class Member(msgspec.Struct):
    """Everything the notifier keeps about a person.

    Consents are keyed (channel, class), devices by id. The tier is no personal data and outlives an erasure.
    """

    profile: dict[str, ProfileValue] = {}
    consents: dict[tuple[Channel, MessageClass], Consent] = {}
    devices: dict[str, Device] = {}
    profile_at: Micros | None = None
    """The newest instant of a profile update since the last erasure; None without one."""
    erased_at: Micros | None = None
    """The instant up to which everything is erased; None without an erasure."""
    tier: str = NO_TIER
    tier_version: int = NO_TIER_VERSION

    @property
    def erased(self) -> bool:
        """Whether the person asked to be forgotten and has not updated the profile since."""
        return self.erased_at is not None and self.profile_at is None

    def value(self, field: str) -> str | None:
        """What is known of a profile field; None when unknown or deleted."""
        known = self.profile.get(field)
        return None if known is None else known.value

    def update_profile(self, fields: Mapping[str, str | None], at: Micros) -> None:
        """Merge the values of some profile fields: absent = unknown, None = deleted."""
        if self._is_erased_at(at):
            return
        self.profile_at = at if self.profile_at is None else max(self.profile_at, at)
        for field, value in fields.items():
            known = self.profile.get(field)
            if known is None or known.is_replaced_by(value, at):
                self.profile[field] = ProfileValue(value, at)

    def record_consent(self, channel: Channel, message_class: MessageClass, granted: bool, at: Micros) -> bool:
        """Record a consent or its withdrawal; False when a newer one is known already."""
        if self._is_erased_at(at):
            return False
        known = self.consents.get((channel, message_class))
        if known is not None and not known.is_replaced_by(granted, at):
            return False
        self.consents[channel, message_class] = Consent(granted, at)
        return True

    def register_device(self, device_id: str, platform: str, token: str, at: Micros) -> None:
        """Remember a device that can be pushed to."""
        if self._is_erased_at(at):
            return
        known = self.devices.get(device_id)
        if known is None or known.is_replaced_by(platform, token, at):
            self.devices[device_id] = Device(platform, token, at)

    def update_tier(self, tier: str, version: int) -> None:
        """Remember the tier of the newest fact of tiering; an older fact (by its `member_version`) changes nothing."""
        if version > self.tier_version:
            self.tier, self.tier_version = tier, version

    def erase(self, at: Micros) -> None:
        """Forget everything up to `at`; the instant itself is kept, so that late events do not bring it back."""
        erased_at = at if self.erased_at is None else max(self.erased_at, at)
        self.erased_at = erased_at
        self.profile = {field: known for field, known in self.profile.items() if known.at > erased_at}
        self.consents = {cell: consent for cell, consent in self.consents.items() if consent.at > erased_at}
        self.devices = {device_id: device for device_id, device in self.devices.items() if device.at > erased_at}
        if self.profile_at is not None and self.profile_at <= erased_at:
            self.profile_at = None

    def allows(self, channel: Channel, message_class: MessageClass) -> bool:
        """Whether a message of a class may be sent over a channel (S2).

        A recorded consent or withdrawal decides. Without one, service and notice messages, which a membership
        brings with it, are assumed to be wanted; a promotion outside the app needs a recorded consent.
        """
        known = self.consents.get((channel, message_class))
        if known is not None:
            return known.granted
        return message_class != "promo" or channel == "inapp"

    def consent_version(self, channel: Channel, message_class: MessageClass) -> int:
        """The version of the consent a message rests on."""
        known = self.consents.get((channel, message_class))
        return ASSUMED_CONSENT_VERSION if known is None else known.version

    def _is_erased_at(self, at: Micros) -> bool:
        """Whether the erasure removes what has this business time."""
        return self.erased_at is not None and at <= self.erased_at


class Recipient(msgspec.Struct):
    """A member, and the usable addresses by channel that follow from the profile (the app needs none)."""

    member: Member
    addresses: dict[str, str]
