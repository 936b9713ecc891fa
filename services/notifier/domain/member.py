"""A member as the notifier knows one: contact details, consents and devices, each with its business time.

Every fact is merged by the business time it states, never by its arrival, so the facts of a member may come
in any order and any number of times and end in the same state:

- of two tellings of one field, consent or device the newer wins; an older one never overwrites a newer;
- at one instant a deletion beats a value and a withdrawal beats a grant (the careful reading), and of two
  values the greater text stands, so that the outcome does not depend on arrival;
- an erasure removes everything told up to and including its instant. What a member tells afterwards, by
  joining anew, is kept.
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

NEVER: Final[Micros] = -(2**62)
"""Before every instant: the time of what has not happened."""


NO_TIER: Final = "none"
"""The tier of who has none yet."""


class Told(msgspec.Struct, frozen=True):
    """A profile field as last told: its value (None = deleted by the member) and the instant that set it."""

    value: str | None
    at: Micros

    def yields_to(self, value: str | None, at: Micros) -> bool:
        """Whether another telling of this field replaces it."""
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

    def yields_to(self, granted: bool, at: Micros) -> bool:
        """Whether another telling replaces this one; at one instant the withdrawal stands."""
        return at > self.at or (at == self.at and self.granted and not granted)


class Device(msgspec.Struct, frozen=True):
    """A device that can be pushed to: its platform, its push token, and the instant it was registered."""

    platform: str
    token: str
    at: Micros

    def yields_to(self, platform: str, token: str, at: Micros) -> bool:
        """Whether another registration of the same device replaces this one."""
        return (at, platform, token) > (self.at, self.platform, self.token)


class Member(msgspec.Struct):
    """Everything the notifier keeps about a person.

    Consents are keyed (channel, class), devices by id. The tier is no personal data and outlives an erasure.
    """

    profile: dict[str, Told] = {}
    consents: dict[tuple[Channel, MessageClass], Consent] = {}
    devices: dict[str, Device] = {}
    told_at: Micros = NEVER
    erased_at: Micros = NEVER
    tier: str = NO_TIER
    tier_version: int = -1

    @property
    def erased(self) -> bool:
        """Whether the person asked to be forgotten and has told nothing since."""
        return self.erased_at != NEVER and self.told_at <= self.erased_at

    def value(self, field: str) -> str | None:
        """What is known of a profile field; None when unknown or deleted."""
        told = self.profile.get(field)
        return None if told is None else told.value

    def tell(self, fields: Mapping[str, str | None], at: Micros) -> None:
        """Merge a telling of some profile fields: absent = unknown, None = deleted."""
        if at <= self.erased_at:
            return
        self.told_at = max(self.told_at, at)
        for field, value in fields.items():
            known = self.profile.get(field)
            if known is None or known.yields_to(value, at):
                self.profile[field] = Told(value, at)

    def consent(self, channel: Channel, message_class: MessageClass, granted: bool, at: Micros) -> bool:
        """Record a consent or its withdrawal; False when a newer one is known already."""
        if at <= self.erased_at:
            return False
        known = self.consents.get((channel, message_class))
        if known is not None and not known.yields_to(granted, at):
            return False
        self.consents[channel, message_class] = Consent(granted, at)
        return True

    def register_device(self, device_id: str, platform: str, token: str, at: Micros) -> None:
        """Remember a device that can be pushed to."""
        if at <= self.erased_at:
            return
        known = self.devices.get(device_id)
        if known is None or known.yields_to(platform, token, at):
            self.devices[device_id] = Device(platform, token, at)

    def stand(self, tier: str, version: int) -> None:
        """Remember the tier that tiering told last; an older word (by its `member_version`) changes nothing."""
        if version > self.tier_version:
            self.tier, self.tier_version = tier, version

    def erase(self, at: Micros) -> None:
        """Forget all that was told up to `at`; the instant itself is kept, against late tellings."""
        self.erased_at = max(self.erased_at, at)
        self.profile = {name: told for name, told in self.profile.items() if told.at > self.erased_at}
        self.consents = {cell: given for cell, given in self.consents.items() if given.at > self.erased_at}
        self.devices = {name: device for name, device in self.devices.items() if device.at > self.erased_at}
        if self.told_at <= self.erased_at:
            self.told_at = NEVER

    def allows(self, channel: Channel, message_class: MessageClass) -> bool:
        """Whether a message of a class may be sent over a channel (S2).

        What the member said holds. Where nothing was said, service and notice messages, which a membership
        brings with it, are assumed to be wanted; a promotion outside the app needs a recorded consent.
        """
        known = self.consents.get((channel, message_class))
        if known is not None:
            return known.granted
        return message_class != "promo" or channel == "inapp"

    def consent_version(self, channel: Channel, message_class: MessageClass) -> int:
        """The version of the consent a message rests on; 0 where it is assumed."""
        known = self.consents.get((channel, message_class))
        return 0 if known is None else known.version
