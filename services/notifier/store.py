"""Members and messages in PostgreSQL: every statement is of one shard and shaped as arrays.

The lock doctrine. A transaction that writes first takes the row of its shard in `shard_lock` (a batch that holds
records of members of other shards takes several, in the order of shards, so there can be no deadlock). It is the
only lock: while it is held no other transaction that writes works on that shard, so a member without a row needs no
lock of its own, and a decision is written before the consents and addresses it rests on can change.

Transactions that only read take no lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg
import msgspec
import orjson

from services.kit.calendar import Micros, from_micros, to_micros
from services.kit.kafka import Shard
from services.kit.postgres import Connection, Pool, Queries
from services.notifier.domain.inputs import InboxRead, PreferenceChange
from services.notifier.domain.member import Consent, Device, Member, MessageClass, ProfileValue, Recipient
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

_profile = msgspec.json.Decoder(dict[str, ProfileValue]).decode
_encode = msgspec.json.Encoder().encode


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


class Withdrawal(NamedTuple):
    """Requests that may not leave any more: a member's to one topic, of one class (None = of any class)."""

    member_id: str
    topic: str
    message_class: MessageClass | None


async def prepare(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Make a new connection ready. Every statement looks rows up by key; without this setting a connection would keep
    a plan that it made while a table was small, and read all of the table ever after."""
    await connection.execute("SET enable_seqscan = off")


async def lock(tx: Connection, shards: Sequence[int]) -> None:
    """Take the locks of some shards; every transaction that writes does it first, for all shards it will write to."""
    for shard in sorted(shards):
        await tx.execute(MEMBER.lock_shard, shard)


async def read_members(
    tx: Connection | Pool, shard: Shard, member_ids: Sequence[str], *, devices_of: Sequence[str] = ()
) -> dict[str, Recipient]:
    """Some members and their addresses; an unknown member is blank. Devices are read for `devices_of` alone."""
    found = {member_id: Recipient(Member(), {}) for member_id in member_ids}
    for row in await tx.fetch(MEMBER.members_of, shard, member_ids):
        recipient = found[row["member_id"]]
        recipient.member = Member(
            profile=_profile(row["profile"]),
            profile_at=_instant(row["told_at"]),
            erased_at=_instant(row["erased_at"]),
            tier=row["tier"],
            tier_version=row["tier_version"],
        )
        recipient.addresses = {
            channel: row[column] for channel, column in (("sms", "phone"), ("email", "email")) if row[column]
        }
    for row in await tx.fetch(MEMBER.consents_of, shard, member_ids):
        cell = (row["channel"], row["class"])
        found[row["member_id"]].member.consents[cell] = Consent(row["granted"], to_micros(row["at"]))
    if devices_of:
        for row in await tx.fetch(MEMBER.devices_of, shard, devices_of):
            device = Device(row["platform"], row["token"], to_micros(row["at"]))
            found[row["member_id"]].member.devices[row["device_id"]] = device
    return found


async def save_members(tx: Connection, shard: Shard, recipients: Mapping[str, Recipient]) -> None:
    """Write members and their addresses as they are now, and remove the rows that an erasure covers."""
    if not recipients:
        return
    members = {member_id: recipient.member for member_id, recipient in recipients.items()}
    await _remove_erased(tx, shard, members)
    await tx.execute(
        MEMBER.save_members,
        shard,
        list(members),
        [_encode(member.profile).decode() for member in members.values()],
        [recipient.addresses.get("sms") for recipient in recipients.values()],
        [recipient.addresses.get("email") for recipient in recipients.values()],
        [_moment(member.profile_at) for member in members.values()],
        [_moment(member.erased_at) for member in members.values()],
        [member.tier for member in members.values()],
        [member.tier_version for member in members.values()],
    )
    consents = [
        (member_id, *cell, consent.granted, from_micros(consent.at))
        for member_id, member in members.items()
        for cell, consent in member.consents.items()
    ]
    if consents:
        await tx.execute(MEMBER.save_consents, shard, *_columns(consents))
    devices = [
        (member_id, device_id, device.platform, device.token, from_micros(device.at))
        for member_id, member in members.items()
        for device_id, device in member.devices.items()
    ]
    if devices:
        await tx.execute(MEMBER.save_devices, shard, *_columns(devices))


async def _remove_erased(tx: Connection, shard: Shard, members: Mapping[str, Member]) -> None:
    erased = [
        (member_id, from_micros(member.erased_at))
        for member_id, member in members.items()
        if member.erased_at is not None
    ]
    if erased:
        for statement in (MEMBER.forget_consents, MEMBER.forget_devices, MEMBER.forget_changes):
            await tx.execute(statement, shard, *_columns(erased))


async def journal(tx: Connection, shard: Shard, changes: Sequence[PreferenceChange]) -> None:
    """Append changes of preferences to their journal."""
    if changes:
        await tx.copy_records_to_table(
            "preference_change",
            columns=_CHANGE_COLUMNS,
            records=[
                (
                    shard,
                    change.member_id,
                    from_micros(change.at),
                    change.actor,
                    change.preference,
                    change.value,
                    change.evidence,
                )
                for change in changes
            ],
        )


async def withdraw_requests(tx: Connection, shard: Shard, withdrawals: Sequence[Withdrawal]) -> None:
    """Take requests that have not left yet out of the outbox."""
    if withdrawals:
        keys = [withdrawal.member_id.encode() for withdrawal in withdrawals]
        topics = [withdrawal.topic for withdrawal in withdrawals]
        marks = [b"" if each.message_class is None else class_mark(each.message_class) for each in withdrawals]
        await tx.execute(MESSAGE.withdraw_requests, shard, keys, topics, marks)


async def known_keys(tx: Connection, shard: Shard, keys: Sequence[bytes]) -> set[bytes]:
    """The business keys, of those given, that have been decided already (S1)."""
    return {row[0] for row in await tx.fetch(MESSAGE.known_keys, shard, keys)} if keys else set()


async def append_messages(tx: Connection, shard: Shard, rows: Sequence[MessageRow]) -> None:
    """Append decisions, whose keys are new, in order."""
    if rows:
        await tx.copy_records_to_table(
            "message",
            columns=_MESSAGE_COLUMNS,
            records=[(shard, *row[:9], from_micros(row.at), from_micros(row.decided_at)) for row in rows],
        )


async def append_attempts(tx: Connection, shard: Shard, sent: Sequence[Outgoing]) -> None:
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


async def mark_read(tx: Connection, shard: Shard, read: InboxRead) -> int:
    """Mark messages of an inbox as read; answers how many were unread before."""
    at = from_micros(read.at)
    marked = 0
    if read.keys:
        marked += _count(await tx.execute(MESSAGE.read_some, shard, read.member_id, list(read.keys), at))
    if read.through is not None:
        marked += _count(await tx.execute(MESSAGE.read_through, shard, read.member_id, read.through, at))
    return marked


async def inbox(pool: Pool, shard: Shard, member_id: str, before: int, limit: int) -> list[asyncpg.Record]:
    """The newest messages of an inbox before a message number."""
    return await pool.fetch(MESSAGE.inbox, shard, member_id, before, limit)


async def unread(tx: Connection | Pool, shard: Shard, member_id: str) -> int:
    """How many messages of an inbox are unread."""
    return int(await tx.fetchval(MESSAGE.unread, shard, member_id))


async def decisions(pool: Pool, shard: Shard, member_id: str, before: int, limit: int) -> list[asyncpg.Record]:
    """The newest decisions about a member, sent or not, before a message number."""
    return await pool.fetch(MESSAGE.decisions, shard, member_id, before, limit)


def parameters_of(stored: str) -> dict[str, str | int]:
    """The parameters of a stored message."""
    return dict(orjson.loads(stored))


def _columns(rows: Iterable[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _count(status: str) -> int:
    """How many rows a command changed, from its status (`UPDATE 3`)."""
    return int(status.rpartition(" ")[2])


def _moment(instant: Micros | None) -> datetime | None:
    return None if instant is None else from_micros(instant)


def _instant(moment: datetime | None) -> Micros | None:
    return None if moment is None else to_micros(moment)
