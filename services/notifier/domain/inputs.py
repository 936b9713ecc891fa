"""What changes the notifier: tellings about a person, commands of the API, and occasions to speak.

Each input belongs to one member. What concerns the person is merged into `Member` first, then the occasions of
the batch are decided, so that no message rests on a consent or an address that the same batch takes back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from services.kit.calendar import Micros
from services.notifier.domain.member import Channel, Member, MessageClass
from services.notifier.domain.touchpoint import Occasion, together


class ProfileUpdated(msgspec.Struct, frozen=True):
    """Profile fields as the member gave them: absent = unknown, None = deleted."""

    member_id: str
    at: Micros
    fields: dict[str, str | None]


class ConsentChanged(msgspec.Struct, frozen=True):
    """A consent or its withdrawal; `evidence` says where the member said so, `actor` who reports it."""

    member_id: str
    at: Micros
    channel: Channel
    message_class: MessageClass
    granted: bool
    actor: str
    evidence: str | None


class DeviceRegistered(msgspec.Struct, frozen=True):
    """A device that can be pushed to."""

    member_id: str
    at: Micros
    device_id: str
    platform: str
    token: str


class Erased(msgspec.Struct, frozen=True):
    """The member is to be forgotten."""

    member_id: str
    at: Micros


class TierHistoryReceived(msgspec.Struct, frozen=True):
    """Where tiering says the member stands, and the occasion to speak that it makes, if any.

    `version` orders such words of one member; `now` is the arrival of the fact.
    """

    member_id: str
    now: Micros
    tier: str
    version: int
    occasion: Occasion | None


class PreferencesPut(msgspec.Struct, frozen=True):
    """A member's or an operator's choice over HTTP: only the cells that are named change.

    `locale` is the language tag to write in; None leaves it as it is.
    """

    member_id: str
    at: Micros
    actor: str
    consents: tuple[tuple[Channel, MessageClass, bool], ...]
    locale: str | None


class InboxRead(msgspec.Struct, frozen=True):
    """Messages of the inbox were read: those named, and `through` with all that came before it."""

    member_id: str
    at: Micros
    keys: tuple[bytes, ...]
    through: bytes | None


class Happened(msgspec.Struct, frozen=True):
    """An occasion to speak; `now` is the arrival of its fact.

    `version` and `number` are the fact's member_version and event_no: facts of one version are of one outcome.
    """

    member_id: str
    now: Micros
    version: int
    number: int
    occasion: Occasion


Telling: TypeAlias = ProfileUpdated | ConsentChanged | DeviceRegistered | Erased | TierHistoryReceived | PreferencesPut
"""What changes what is known of a person."""

Input: TypeAlias = Telling | InboxRead | Happened


class Change(msgspec.Struct, frozen=True):
    """A preference that changed, for the journal: who said so, when, and on what evidence."""

    member_id: str
    at: Micros
    actor: str
    preference: str
    value: str
    evidence: str | None


def absorb(member: Member, telling: Telling) -> list[Change]:
    """Merge a telling into what is known of its member; answers the preferences that it changed."""
    match telling:
        case ProfileUpdated():
            member.tell(telling.fields, telling.at)
            return []
        case ConsentChanged(channel=channel, message_class=message_class, granted=granted):
            if not member.consent(channel, message_class, granted, telling.at):
                return []
            return [_consent_change(telling, channel, message_class, granted, telling.evidence)]
        case DeviceRegistered():
            member.register_device(telling.device_id, telling.platform, telling.token, telling.at)
            return []
        case Erased():
            member.erase(telling.at)
            return []
        case TierHistoryReceived():
            member.stand(telling.tier, telling.version)
            return []
        case PreferencesPut():
            changes = [
                _consent_change(telling, channel, message_class, granted, None)
                for channel, message_class, granted in telling.consents
                if member.consent(channel, message_class, granted, telling.at)
            ]
            if telling.locale is not None and telling.locale != member.value("locale"):
                member.tell({"locale": telling.locale}, telling.at)
                changes.append(Change(telling.member_id, telling.at, telling.actor, "locale", telling.locale, None))
            return changes


def _consent_change(
    telling: ConsentChanged | PreferencesPut,
    channel: Channel,
    message_class: MessageClass,
    granted: bool,
    evidence: str | None,
) -> Change:
    value = "granted" if granted else "withdrawn"
    return Change(telling.member_id, telling.at, telling.actor, f"{channel}/{message_class}", value, evidence)


class Heard(msgspec.Struct, frozen=True):
    """An occasion of a batch: the place of its input there, its member, the arrival of its (first) fact."""

    place: int
    member_id: str
    now: Micros
    occasion: Occasion


def gather(placed: Iterable[tuple[int, Input]]) -> list[Heard]:
    """The occasions of a batch. Facts of one outcome about one occasion are told together, a fact heard again once.

    When a batch ends between two such facts, the first alone is told: the second names an occasion that was.
    """
    heard: dict[tuple[str, int, str, str], Heard] = {}
    facts: set[tuple[str, int, int]] = set()
    for place, each in placed:
        if not isinstance(each, Happened | TierHistoryReceived) or each.occasion is None:
            continue
        if isinstance(each, Happened):
            fact = (each.member_id, each.version, each.number)
            if fact in facts:
                continue
            facts.add(fact)
        occasion = each.occasion
        key = (each.member_id, each.version, occasion.touchpoint, occasion.name)
        first = heard.get(key)
        if first is not None:
            place, occasion = first.place, together(first.occasion, occasion)
        heard[key] = Heard(place, each.member_id, each.now, occasion)
    return list(heard.values())
