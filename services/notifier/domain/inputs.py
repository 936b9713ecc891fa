"""What changes the notifier: facts about a person, commands of the API, and occasions for a message.

Each input belongs to one member. The inputs about the person are merged into `Member` first, then the occasions of
the batch are decided, so that no message rests on a consent or an address that the same batch takes back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from services.kit.calendar import Micros
from services.notifier.domain.member import Channel, Member, MessageClass
from services.notifier.domain.occasions import Occasion, merged


class ProfileUpdated(msgspec.Struct, frozen=True):
    """Profile fields as the member gave them: absent = unknown, None = deleted."""

    member_id: str
    at: Micros
    fields: dict[str, str | None]


class ConsentChanged(msgspec.Struct, frozen=True):
    """A consent or its withdrawal; `evidence` says where the member gave it, `actor` who reports it."""

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
    """The tier of a fact of tiering, and the occasion that the fact makes, if any.

    `version` orders such facts of one member; `arrived_at` is the arrival of the fact.
    """

    member_id: str
    arrived_at: Micros
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


class OccasionReceived(msgspec.Struct, frozen=True):
    """An occasion that a fact of the ledger makes; `arrived_at` is the arrival of the fact.

    `version` and `number` are the fact's member_version and event_no: facts of one version are of one outcome.
    """

    member_id: str
    arrived_at: Micros
    version: int
    number: int
    occasion: Occasion


MemberInput: TypeAlias = (
    ProfileUpdated | ConsentChanged | DeviceRegistered | Erased | TierHistoryReceived | PreferencesPut
)
"""What changes the state of a member."""

Input: TypeAlias = MemberInput | InboxRead | OccasionReceived


class PreferenceChange(msgspec.Struct, frozen=True):
    """A preference that changed, for the journal: who changed it, when, and on what evidence."""

    member_id: str
    at: Micros
    actor: str
    preference: str
    value: str
    evidence: str | None


def apply_input(member: Member, input_: MemberInput) -> list[PreferenceChange]:
    """Merge an input into its member's state; answers the preferences that it changed."""
    match input_:
        case ProfileUpdated():
            member.update_profile(input_.fields, input_.at)
        case ConsentChanged(channel=channel, message_class=message_class, granted=granted):
            if member.record_consent(channel, message_class, granted, input_.at):
                return [_consent_change(input_, channel, message_class, granted, input_.evidence)]
        case DeviceRegistered():
            member.register_device(input_.device_id, input_.platform, input_.token, input_.at)
        case Erased():
            member.erase(input_.at)
        case TierHistoryReceived():
            member.update_tier(input_.tier, input_.version)
        case PreferencesPut():
            return _apply_preferences(member, input_)
    return []


def _apply_preferences(member: Member, put: PreferencesPut) -> list[PreferenceChange]:
    changes = [
        _consent_change(put, channel, message_class, granted, None)
        for channel, message_class, granted in put.consents
        if member.record_consent(channel, message_class, granted, put.at)
    ]
    if put.locale is not None and put.locale != member.value("locale"):
        member.update_profile({"locale": put.locale}, put.at)
        changes.append(PreferenceChange(put.member_id, put.at, put.actor, "locale", put.locale, None))
    return changes


def _consent_change(
    input_: ConsentChanged | PreferencesPut,
    channel: Channel,
    message_class: MessageClass,
    granted: bool,
    evidence: str | None,
) -> PreferenceChange:
    value = "granted" if granted else "withdrawn"
    return PreferenceChange(input_.member_id, input_.at, input_.actor, f"{channel}/{message_class}", value, evidence)


class BatchOccasion(msgspec.Struct, frozen=True):
    """An occasion of a batch: its member, the arrival of its first fact, and the index of that fact's input."""

    index: int
    member_id: str
    arrived_at: Micros
    occasion: Occasion


def occasions_of(indexed: Iterable[tuple[int, Input]]) -> list[BatchOccasion]:
    """The occasions of a batch, given its inputs with their indexes.

    Facts of one outcome about one occasion are merged, and a fact that comes twice counts once. Where a batch ends
    between two such facts, the message is made of the first alone: the second names an occasion decided already.
    """
    found: dict[tuple[str, int, str, str], BatchOccasion] = {}
    facts: set[tuple[str, int, int]] = set()
    for index, input_ in indexed:
        if not isinstance(input_, OccasionReceived | TierHistoryReceived) or input_.occasion is None:
            continue
        if isinstance(input_, OccasionReceived):
            fact = (input_.member_id, input_.version, input_.number)
            if fact in facts:
                continue
            facts.add(fact)
        occasion = input_.occasion
        key = (input_.member_id, input_.version, occasion.touchpoint, occasion.name)
        first = found.get(key)
        if first is not None:
            index, occasion = first.index, merged(first.occasion, occasion)
        found[key] = BatchOccasion(index, input_.member_id, input_.arrived_at, occasion)
    return list(found.values())
