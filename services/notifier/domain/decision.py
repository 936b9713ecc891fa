"""Whether an occasion is told, over each way of its touchpoint, and if not, why not.

Every answer is kept, also a refusal: `/messages` shows a member, or who helps one, what was said and what was
not. The checks go from the member outwards, and the first that fails names the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Literal

import msgspec

from services.kit.calendar import Micros
from services.notifier.domain.member import Channel, Member, MessageClass
from services.notifier.domain.touchpoint import ALWAYS_TOLD, Occasion

WithheldReason = Literal[
    "erased", "no_touchpoint", "not_after", "no_consent", "no_address", "no_way_out", "no_template"
]
"""Why a message is not sent:

- `erased`: the member asked to be forgotten
- `no_touchpoint`: the program does not tell such occasions
- `not_after`: the occasion is older than the touchpoint's `not_after` (S3)
- `no_consent`: a consent is missing or was withdrawn (S2)
- `no_address`: the member gave no usable address for the channel
- `no_way_out`: a promotion by mail, while there is no link yet by which the member could end them (S2)
- `no_template`: there is no text for this touchpoint and channel
"""

NO_WAY = "none"
"""The channel of a decision about an occasion that has no way at all."""


class TouchpointRule(msgspec.Struct, frozen=True):
    """A row of the program's table: by which ways a touchpoint goes, as what class, with what policy, until when.

    `says` names the policy it carries (empty = all that fits); `not_after` is the age in microseconds beyond which
    the occasion is no longer news (None = never too old).
    """

    ways: tuple[Channel, ...]
    message_class: MessageClass
    not_after: Micros | None = None
    says: frozenset[str] = frozenset()


class Decision(msgspec.Struct, frozen=True):
    """To send (`reason` is None) or not, over one channel."""

    channel: str
    message_class: MessageClass
    reason: WithheldReason | None

    @property
    def send(self) -> bool:
        return self.reason is None


def message_key(member_id: str, touchpoint: str, occasion: str, channel: str) -> bytes:
    """The 16-byte digest of a message's business key (S1); none of its parts has control characters."""
    return blake2b("\x1f".join((member_id, touchpoint, occasion, channel)).encode(), digest_size=16).digest()


def decide(
    occasion: Occasion,
    rule: TouchpointRule | None,
    member: Member,
    addresses: Mapping[str, str],
    texts: Collection[tuple[str, str]],
    now: Micros,
) -> Sequence[Decision]:
    """The decisions about one occasion, one a way.

    `addresses` are the member's usable addresses by channel (none is needed in the app); `texts` are the
    (touchpoint, channel) pairs that have a template; `now` is the arrival of the fact.
    """
    always = occasion.touchpoint in ALWAYS_TOLD
    if rule is None:
        if not always:
            return (Decision(NO_WAY, "notice", "erased" if member.erased else "no_touchpoint"),)
        rule = TouchpointRule(("inapp",), "service")
    ways = rule.ways if not always or "inapp" in rule.ways else ("inapp", *rule.ways)
    return [
        Decision(way, rule.message_class, _objection(occasion, rule, way, member, addresses, texts, now))
        for way in ways
    ]


def _objection(
    occasion: Occasion,
    rule: TouchpointRule,
    way: Channel,
    member: Member,
    addresses: Mapping[str, str],
    texts: Collection[tuple[str, str]],
    now: Micros,
) -> WithheldReason | None:
    if member.erased:
        return "erased"
    if not (way == "inapp" and occasion.touchpoint in ALWAYS_TOLD):
        if rule.not_after is not None and now - occasion.at > rule.not_after:
            return "not_after"
        if not member.allows(way, rule.message_class):
            return "no_consent"
    if way != "inapp" and not addresses.get(way):
        return "no_address"
    if way == "email" and rule.message_class == "promo":
        return "no_way_out"
    if (occasion.touchpoint, way) not in texts:
        return "no_template"
    return None
