"""The one list of topics. Whatever creates, checks or subscribes to a topic goes by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

SHARDS: Final = 16
"""Partitions of every member-keyed topic unless the deployment says otherwise: partition = shard."""

SERVICES: Final = ("ledger", "tiering", "notifier")
"""Ours. Each is a principal of the brokers, as are `shop` and `gateways`."""

_DAY_MS: Final = 24 * 60 * 60 * 1000
_UNTIL_TOO_LATE_MS: Final = 400 * _DAY_MS  # an event older than this is refused anyway


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic and what it carries."""

    name: str
    types: tuple[str, ...]
    """The event types whose topic it is."""
    writer: Literal["shop", "gateways", "ledger", "tiering", "notifier", "services"]
    """Who may write to it; `services` is any of ours."""
    readers: tuple[str, ...] = ("ledger",)
    """Who reads it."""
    sent_on: tuple[str, ...] = ()
    """Types of other topics whose records are sent on over this one, as they were."""
    member_keyed: bool = True
    """The key is the member id, and the topic has as many partitions as there are shards."""
    partitions: int | None = None
    """None: as many as there are shards."""
    cleanup: Literal["delete", "compact"] = "delete"
    retention_ms: int = _UNTIL_TOO_LATE_MS
    """How long a record is kept, in milliseconds; -1 without limit."""
    timestamp_type: Literal["LogAppendTime"] = "LogAppendTime"
    """The broker's clock says when a record arrived, whatever the publisher's clock says."""

    @property
    def accepted(self) -> frozenset[str]:
        """Every event type that may be on it."""
        return frozenset((*self.types, *self.sent_on))

    @property
    def writers(self) -> tuple[str, ...]:
        """All who may write to it. The ledger takes the shop's events over HTTP."""
        match self.writer:
            case "services":
                return SERVICES
            case "shop":
                return ("shop", "ledger")
            case _:
                return (self.writer,)

    @property
    def inbound(self) -> bool:
        """Whether others write it and we read it."""
        return self.writer in ("shop", "gateways")

    def partition_count(self, shards: int = SHARDS) -> int:
        """How many partitions it has in a deployment of so many shards."""
        return shards if self.partitions is None else self.partitions

    def config(self) -> dict[str, str]:
        """The topic's configuration in the broker's words."""
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(self.retention_ms),
            "message.timestamp.type": self.timestamp_type,
        }


def _points(*kinds: str) -> tuple[str, ...]:
    return tuple(f"loyalty.points.{kind}.v1" for kind in kinds)


def _tier(*kinds: str) -> tuple[str, ...]:
    return tuple(f"loyalty.tier.{kind}.v1" for kind in kinds)


def _requests(channel: str) -> Topic:
    # Requests hold contact details, so they are kept no longer than a gateway needs them.
    return Topic(
        f"notify.{channel}.v1",
        (f"notify.{channel}.requested.v1",),
        "notifier",
        readers=("gateways",),
        retention_ms=3 * _DAY_MS,
    )


_COMMERCE: Final[tuple[Topic, ...]] = (
    Topic(
        "commerce.orders.v1",
        (
            "commerce.order.paid.v1",
            "commerce.order.shipped.v1",
            "commerce.order.completed.v1",
            "commerce.order.refunded.v1",
            "commerce.order.cancelled.v1",
            "commerce.order.reinstated.v1",
            "commerce.order.refund_failed.v1",
        ),
        "shop",
    ),
    Topic("commerce.signins.v1", ("commerce.member.signed_in.v1",), "shop"),
    Topic("commerce.reviews.v1", ("commerce.review.published.v1", "commerce.review.removed.v1"), "shop"),
    Topic(
        "commerce.profiles.v1",
        (
            "commerce.member.registered.v1",
            "commerce.profile.updated.v1",
            "commerce.consent.changed.v1",
            "commerce.device.registered.v1",
            "commerce.member.erased.v1",
        ),
        "shop",
        readers=SERVICES,
        # Personal data: long enough for a service to come back, no archive of people.
        retention_ms=30 * _DAY_MS,
    ),
    Topic("commerce.activities.v1", ("commerce.activity.recorded.v1", "commerce.activity.withdrawn.v1"), "shop"),
)

ALL: Final[tuple[Topic, ...]] = (
    *_COMMERCE,
    Topic(
        "loyalty.points.v1",
        (
            *_points("pending", "earned", "confirmed", "redeemed", "held", "released", "returned"),
            *_points("clawed_back", "expired", "expiring", "adjusted", "transferred"),
            "loyalty.order.qualified.v1",
            "loyalty.order.alarmed.v1",
            "loyalty.reward.issued.v1",
            "loyalty.day.closed.v1",
        ),
        "ledger",
        readers=("tiering", "notifier"),
    ),
    Topic(
        "loyalty.tiers.v1",
        _tier("enrolled", "upgraded", "downgraded", "kept", "at_risk", "overridden"),
        "tiering",
        readers=("ledger", "notifier"),
    ),
    Topic(
        "loyalty.program.v1",
        ("loyalty.program.published.v1",),
        "ledger",
        readers=SERVICES,
        member_keyed=False,
        partitions=1,
        cleanup="compact",
        retention_ms=-1,
    ),
    Topic(
        "loyalty.checkpoints.v1",
        ("loyalty.ledger.checkpoint.v1",),
        "ledger",
        readers=(),
        member_keyed=False,
        partitions=1,
        retention_ms=-1,
    ),
    # What one shard tells another. A record that its publisher put on another shard's partition goes this way too.
    Topic(
        "loyalty.internal.v1",
        (
            "loyalty.transfer.sent.v1",
            "loyalty.transfer.arrived.v1",
            "loyalty.reward.asked.v1",
            "loyalty.reward.answered.v1",
            "loyalty.reward.given_back.v1",
            "loyalty.reward.kept.v1",
            "loyalty.referral.told.v1",
            "loyalty.referral.answered.v1",
            "loyalty.budget.asked.v1",
            "loyalty.budget.answered.v1",
        ),
        "ledger",
        sent_on=tuple(kind for topic in _COMMERCE for kind in topic.types),
        retention_ms=30 * _DAY_MS,
    ),
    _requests("sms"),
    _requests("email"),
    _requests("push"),
    _requests("inapp"),
    _requests("parcel"),
    Topic("notify.receipts.v1", ("notify.receipt.v1",), "gateways", readers=("notifier",), retention_ms=3 * _DAY_MS),
    Topic("notify.inbound.v1", ("notify.inbound.v1",), "gateways", readers=("notifier",), retention_ms=3 * _DAY_MS),
    Topic(
        "loyalty.dead_letters.v1",
        ("loyalty.dead_letter.recorded.v1",),
        "services",
        readers=SERVICES,
        member_keyed=False,
        partitions=1,
        retention_ms=90 * _DAY_MS,
    ),
)

BY_NAME: Final[dict[str, Topic]] = {topic.name: topic for topic in ALL}

TOPIC_OF: Final[dict[str, Topic]] = {kind: topic for topic in ALL for kind in topic.types}
"""The topic of each event type."""
