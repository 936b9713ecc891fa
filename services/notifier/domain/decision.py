"""Whether the message of an occasion is sent, over each channel of its touchpoint, and if not, why not.

Every decision is kept, also one not to send: `/messages` shows a member, or an operator who helps one, which
messages were sent and which were not. The checks begin with the member and end with the text; the first that fails
names the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import Literal

import msgspec

from services.kit.calendar import Micros
from services.notifier.domain.member import Channel, MessageClass, Recipient
from services.notifier.domain.occasions import MANDATORY_TOUCHPOINTS, Occasion

WithheldReason = Literal[
    "erased", "no_touchpoint", "not_after", "no_consent", "no_address", "no_way_out", "no_template"
]
"""Why a message is not sent:

- `erased`: the member asked to be forgotten
- `no_touchpoint`: the program has no touchpoint for such occasions
- `not_after`: the occasion is older than the touchpoint's `not_after` (S3)
- `no_consent`: a consent is missing or was withdrawn (S2)
- `no_address`: the member gave no usable address for the channel
- `no_way_out`: a promotion by mail, which has no unsubscribe link yet (S2)
- `no_template`: there is no text for this touchpoint and channel
"""

NO_CHANNEL = "none"
"""The channel of a decision about an occasion that goes over no channel at all."""


class TouchpointRule(msgspec.Struct, frozen=True):
    """A row of the program's table of touchpoints.

    `policy_parts` names the parts of the policy that the message carries (empty = all that fit); `not_after` is the
    age in microseconds beyond which the occasion is no longer news (None = never too old).
    """

    channels: tuple[Channel, ...]
    message_class: MessageClass
    not_after: int | None = None
    policy_parts: frozenset[str] = frozenset()


class Decision(msgspec.Struct, frozen=True):
    """To send (`reason` is None) or not, over one channel."""

    channel: str
    message_class: MessageClass
    reason: WithheldReason | None

    @property
    def send(self) -> bool:
        """Whether the message is sent."""
        return self.reason is None


def message_key(member_id: str, touchpoint: str, occasion: str, channel: str) -> bytes:
    """The 16-byte digest of a message's business key (S1); none of its parts has control characters."""
    return blake2b("\x1f".join((member_id, touchpoint, occasion, channel)).encode(), digest_size=16).digest()


def decide(
    occasion: Occasion,
    rule: TouchpointRule | None,
    recipient: Recipient,
    available_texts: Collection[tuple[str, str]],
    arrived_at: Micros,
) -> Sequence[Decision]:
    """The decisions about one occasion, one a channel.

    `available_texts` are the (touchpoint, channel) pairs that have a template; `arrived_at` is the arrival of the
    fact.
    """
    mandatory = occasion.touchpoint in MANDATORY_TOUCHPOINTS
    if rule is None:
        if not mandatory:
            return (Decision(NO_CHANNEL, "notice", "erased" if recipient.member.erased else "no_touchpoint"),)
        rule = TouchpointRule(("inapp",), "service")
    channels = rule.channels if not mandatory or "inapp" in rule.channels else ("inapp", *rule.channels)
    return [
        Decision(
            channel,
            rule.message_class,
            _reason_to_withhold(occasion, rule, channel, recipient, available_texts, arrived_at),
        )
        for channel in channels
    ]


def _reason_to_withhold(
    occasion: Occasion,
    rule: TouchpointRule,
    channel: Channel,
    recipient: Recipient,
    available_texts: Collection[tuple[str, str]],
    arrived_at: Micros,
) -> WithheldReason | None:
    if recipient.member.erased:
        return "erased"
    if not (channel == "inapp" and occasion.touchpoint in MANDATORY_TOUCHPOINTS):
        if rule.not_after is not None and arrived_at - occasion.at > rule.not_after:
            return "not_after"
        if not recipient.member.allows(channel, rule.message_class):
            return "no_consent"
    if channel != "inapp" and not recipient.addresses.get(channel):
        return "no_address"
    if channel == "email" and rule.message_class == "promo":
        return "no_way_out"
    if (occasion.touchpoint, channel) not in available_texts:
        return "no_template"
    return None
