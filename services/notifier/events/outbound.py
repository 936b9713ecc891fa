"""`notify.<channel>.requested.v1`: what a gateway needs to send one message, and to send it once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from services.kit import cloudevent
from services.kit.calendar import Micros, rfc3339
from services.kit.kafka import murmur2
from services.notifier.domain.member import MessageClass
from services.notifier.texts.rendering import Text

SOURCE: Final = "/loyalty/notifier"
TOPICS: Final[Mapping[str, str]] = {"sms": "notify.sms.v1", "email": "notify.email.v1"}
"""The channels that go over a gateway, each with the topic of its requests."""

_MAX_DEDUPE_KEY: Final = 128
"""The longest dedupe key of the contract, in characters."""
_HASH_DIGITS, _KEY_DIGITS = 8, 32
"""The two parts of a message id, in hexadecimal digits."""


class Senders(msgspec.Struct, frozen=True):
    """The senders that messages name: the signature registered for text messages, the address of mail."""

    sms_signature: str
    email_from: str


class Outgoing(msgspec.Struct, frozen=True):
    """A rendered message that is to be sent, with the consent it rests on."""

    member_id: str
    key: bytes
    attempt: int
    channel: str
    to: str
    message_class: MessageClass
    touchpoint: str
    occasion: str
    parameters: dict[str, str]
    text: Text
    consent_version: int
    requested_at: Micros
    expires_at: Micros


def message_id(member_id: str, key: bytes) -> str:
    """The id of a message outside: the member's 32-bit hash, then the digest of its business key, in hexadecimal."""
    return f"{murmur2(member_id.encode()):08x}{key.hex()}"


def key_of(identifier: str) -> bytes | None:
    """The digest in a message id; None for a text that is not a message id."""
    if len(identifier) != _HASH_DIGITS + _KEY_DIGITS:
        return None
    try:
        key = bytes.fromhex(identifier[_HASH_DIGITS:])
    except ValueError:
        return None
    return key if len(key) * 2 == _KEY_DIGITS else None


def dedupe_key(outgoing: Outgoing) -> str:
    """The business key in plain text (S1), or with its digest where the text is too long for the contract."""
    plain = f"{outgoing.touchpoint}:{outgoing.member_id}:{outgoing.occasion}:{outgoing.channel}"
    if len(plain) <= _MAX_DEDUPE_KEY:
        return plain
    return f"{outgoing.touchpoint}:{outgoing.key.hex()}:{outgoing.channel}"


def class_mark(message_class: MessageClass) -> bytes:
    """The bytes that are in a rendered request of a class and in no other (quotes in a text are escaped)."""
    return b'"class":"%s"' % message_class.encode()


def render(outgoing: Outgoing, senders: Senders) -> bytes:
    """The request as a structured CloudEvent. Its id is that of the attempt, so a gateway can drop a repetition."""
    identifier = message_id(outgoing.member_id, outgoing.key)
    data: dict[str, Any] = {
        "message_id": identifier,
        "attempt": outgoing.attempt,
        "to": outgoing.to,
        "class": outgoing.message_class,
        "locale": outgoing.text.locale,
        "template": {"code": outgoing.touchpoint, "parameters": outgoing.parameters},
        "text": outgoing.text.body,
        "expirytime": rfc3339(outgoing.expires_at),
        "dedupe_key": dedupe_key(outgoing),
        "consent_version": outgoing.consent_version,
    }
    if outgoing.channel == "sms":
        data["signature"] = senders.sms_signature
    else:
        data["from"] = senders.email_from
        data["subject"] = outgoing.text.title
        data["html"] = outgoing.text.html
        # Marks the mail as automatic, so that no out-of-office reply comes back (RFC 3834).
        data["headers"] = {"Auto-Submitted": "auto-generated", "Content-Language": outgoing.text.locale}
    return cloudevent.structured(
        id=f"{identifier}:{outgoing.attempt}",
        source=SOURCE,
        type=f"notify.{outgoing.channel}.requested.v1",
        subject=outgoing.member_id,
        time=rfc3339(outgoing.requested_at),
        data=data,
    )
