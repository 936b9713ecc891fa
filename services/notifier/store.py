"""Members and messages in PostgreSQL: every statement is of one shard and shaped as arrays.

The lock doctrine. A transaction that writes first takes the row of its shard in `shard_lock` (a batch that holds
records of strays takes several, in the order of shards). It is the only lock there is: while it is held nobody
else reads to write in that shard, so a member without a row needs none, and what is decided from consents and
addresses is written before they can change. Two transactions never wait for each other in a circle.

Readers take no lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg
import msgspec
import orjson

from services.kit.calendar import Micros, from_micros, to_micros
from services.kit.postgres import Connection, Pool, Queries
from services.notifier.domain.inputs import Change, InboxRead
from services.notifier.domain.member import NEVER, Consent, Device, Member, MessageClass, Told
from services.notifier.events.outbound import Outgoing, class_mark

MEMBER: Final = Queries.load(
    "services.notifier",
    "sql/member.sql",
    require=(
        "lock_shard", "members_of", "consents_of", "devices_of", "save_members", "save_consents", "save_devices",
        "forget_consents", "forget_devices", "forget_changes",
    ),
)  # fmt: skip
MESSAGE: Final = Queries.load(
    "services.notifier",
    "sql/message.sql",
    require=("known_keys", "withdraw_requests", "read_some", "read_through", "inbox", "unread", "decisions"),
)

_MESSAGE_COLUMNS: Final = (
    "shard", "key", "member_id", "touchpoint", "occasion", "channel", "class", "reason", "parameters",
    "program_version", "at", "decided_at",
)  # fmt: skip
_ATTEMPT_COLUMNS: Final = (
    "shard", "key", "attempt", "locale", "consent_version", "requested_at", "expires_at",
)  # fmt: skip
_CHANGE_COLUMNS: Final = ("shard", "member_id", "at", "actor", "preference", "value", "evidence")

_profile = msgspec.json.Decoder(dict[str, Told]).decode
_encode = msgspec.json.Encoder().encode


class Known(msgspec.Struct):
    """What is known of a member, with the addresses that follow from it by channel."""

    member: Member
    addresses: dict[str, str]


class MessageRow(NamedTuple):
    """A decision as it is stored; `reason` is None when the message is sent."""

    key: bytes
    member_id: str
    touchpoint: str
    occasion: str
    channel: str
    message_class: str
    reason: str | None
    parameters: str
    program_version: str
    at: Micros
    decided_at: Micros


async def prepare(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Makes a new connection ready. Every statement looks rows up by key; a plan made while a table was small would
    read all of it, and be kept."""
    await connection.execute("SET enable_seqscan = off")


async def lock(tx: Connection, shards: Sequence[int]) -> None:
    """Take the locks of some shards; every writing transaction does it first, with all shards it will write."""
    for shard in sorted(shards):
        await tx.execute(MEMBER.lock_shard, shard)


async def read_members(
    tx: Connection | Pool, shard: int, member_ids: Sequence[str], *, devices_of: Sequence[str] = ()
) -> dict[str, Known]:
    """What is known of some members; a member nobody told of is blank. Devices are read where they are asked for."""
    known = {member_id: Known(Member(), {}) for member_id in member_ids}
    for row in await tx.fetch(MEMBER.members_of, shard, member_ids):
        found = known[row["member_id"]]
        found.member = Member(
            profile=_profile(row["profile"]),
            told_at=_instant(row["told_at"]),
            erased_at=_instant(row["erased_at"]),
            tier=row["tier"],
            tier_version=row["tier_version"],
        )
        found.addresses = {
            channel: row[column] for channel, column in (("sms", "phone"), ("email", "email")) if row[column]
        }
    for row in await tx.fetch(MEMBER.consents_of, shard, member_ids):
        cell = (row["channel"], row["class"])
        known[row["member_id"]].member.consents[cell] = Consent(row["granted"], to_micros(row["at"]))
    if devices_of:
        for row in await tx.fetch(MEMBER.devices_of, shard, devices_of):
            device = Device(row["platform"], row["token"], to_micros(row["at"]))
            known[row["member_id"]].member.devices[row["device_id"]] = device
    return known


async def save_members(tx: Connection, shard: int, members: Mapping[str, Known]) -> None:
    """Write members as they are now, and remove what an erasure took from them."""
    if not members:
        return
    erased = [(name, known.member.erased_at) for name, known in members.items() if known.member.erased_at != NEVER]
    if erased:
        names, times = [name for name, _ in erased], [from_micros(at) for _, at in erased]
        for statement in (MEMBER.forget_consents, MEMBER.forget_devices, MEMBER.forget_changes):
            await tx.execute(statement, shard, names, times)
    await tx.execute(
        MEMBER.save_members,
        shard,
        list(members),
        [_encode(known.member.profile).decode() for known in members.values()],
        [known.addresses.get("sms") for known in members.values()],
        [known.addresses.get("email") for known in members.values()],
        [_moment(known.member.told_at) for known in members.values()],
        [_moment(known.member.erased_at) for known in members.values()],
        [known.member.tier for known in members.values()],
        [known.member.tier_version for known in members.values()],
    )
    consents = [
        (name, *cell, consent.granted, from_micros(consent.at))
        for name, known in members.items()
        for cell, consent in known.member.consents.items()
    ]
    if consents:
        await tx.execute(MEMBER.save_consents, shard, *_columns(consents))
    devices = [
        (name, device_id, device.platform, device.token, from_micros(device.at))
        for name, known in members.items()
        for device_id, device in known.member.devices.items()
    ]
    if devices:
        await tx.execute(MEMBER.save_devices, shard, *_columns(devices))


async def journal(tx: Connection, shard: int, changes: Sequence[Change]) -> None:
    """Append changes of preferences: who said what, and when."""
    if changes:
        await tx.copy_records_to_table(
            "preference_change",
            columns=_CHANGE_COLUMNS,
            records=[
                (shard, c.member_id, from_micros(c.at), c.actor, c.preference, c.value, c.evidence) for c in changes
            ],
        )


async def withdraw(tx: Connection, shard: int, unwanted: Sequence[tuple[str, str, MessageClass | None]]) -> None:
    """Take requests that have not left yet out of the outbox, by (member, topic, class; None = of any class)."""
    if unwanted:
        keys = [member_id.encode() for member_id, _, _ in unwanted]
        topics = [topic for _, topic, _ in unwanted]
        marks = [b"" if message_class is None else class_mark(message_class) for _, _, message_class in unwanted]
        await tx.execute(MESSAGE.withdraw_requests, shard, keys, topics, marks)


async def known_keys(tx: Connection, shard: int, keys: Sequence[bytes]) -> set[bytes]:
    """Those of the business keys that have been decided already (S1)."""
    return {row[0] for row in await tx.fetch(MESSAGE.known_keys, shard, keys)} if keys else set()


async def append_messages(tx: Connection, shard: int, rows: Sequence[MessageRow]) -> None:
    """Append decisions, whose keys are new, in order."""
    if rows:
        await tx.copy_records_to_table(
            "message",
            columns=_MESSAGE_COLUMNS,
            records=[(shard, *row[:9], from_micros(row.at), from_micros(row.decided_at)) for row in rows],
        )


async def append_attempts(tx: Connection, shard: int, sent: Sequence[Outgoing]) -> None:
    """Append attempts, in the transaction that puts their requests into the outbox (S5)."""
    if sent:
        await tx.copy_records_to_table(
            "attempt",
            columns=_ATTEMPT_COLUMNS,
            records=[
                (
                    shard, out.key, out.attempt, out.text.locale, out.consent_version,
                    from_micros(out.requested_at), from_micros(out.expires_at),
                )
                for out in sent
            ],
        )  # fmt: skip


async def mark_read(tx: Connection, shard: int, read: InboxRead) -> int:
    """Mark messages of an inbox as read; answers how many were unread before."""
    at = from_micros(read.at)
    marked = 0
    if read.keys:
        marked += _count(await tx.execute(MESSAGE.read_some, shard, read.member_id, list(read.keys), at))
    if read.through is not None:
        marked += _count(await tx.execute(MESSAGE.read_through, shard, read.member_id, read.through, at))
    return marked


async def inbox(pool: Pool, shard: int, member_id: str, before: int, limit: int) -> list[asyncpg.Record]:
    """The newest messages of an inbox before a message number."""
    return await pool.fetch(MESSAGE.inbox, shard, member_id, before, limit)


async def unread(tx: Connection | Pool, shard: int, member_id: str) -> int:
    """How many messages of an inbox are unread."""
    return int(await tx.fetchval(MESSAGE.unread, shard, member_id))


async def decisions(pool: Pool, shard: int, member_id: str, before: int, limit: int) -> list[asyncpg.Record]:
    """The newest decisions about a member, sent or not, before a message number."""
    return await pool.fetch(MESSAGE.decisions, shard, member_id, before, limit)


def parameters_of(stored: str) -> dict[str, str | int]:
    """The parameters of a stored message."""
    return dict(orjson.loads(stored))


def _columns(rows: Iterable[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])


def _moment(instant: Micros) -> datetime | None:
    return None if instant == NEVER else from_micros(instant)


def _instant(moment: datetime | None) -> Micros:
    return NEVER if moment is None else to_micros(moment)
