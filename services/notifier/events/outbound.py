"""`notify.<channel>.requested.v1`: what a gateway needs to send one message, and to send it once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import orjson

from services.kit.calendar import Micros, rfc3339
from services.kit.kafka import murmur2
from services.notifier.domain.member import MessageClass
from services.notifier.rendering import Text, day, money, number

SOURCE: Final = "/loyalty/notifier"
TOPICS: Final[Mapping[str, str]] = {"sms": "notify.sms.v1", "email": "notify.email.v1"}
"""The channels that go over a gateway, and where its requests are."""

_MAX_ID: Final = 128


class Senders(msgspec.Struct, frozen=True):
    """In whose name messages go out: the signature registered for text messages, the address of mail."""

    sms_signature: str
    email_from: str


class Outgoing(msgspec.Struct, frozen=True):
    """A message that is to be sent, rendered, with the decision it rests on."""

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
    """The digest in a message id; None when it is no message id."""
    try:
        key = bytes.fromhex(identifier[8:])
    except ValueError:
        return None
    return key if len(identifier) == 40 and len(key) == 16 else None


def dedupe_key(outgoing: Outgoing) -> str:
    """The business key in words (S1); where it is too long for the contract, its digest stands for the occasion."""
    words = f"{outgoing.touchpoint}:{outgoing.member_id}:{outgoing.occasion}:{outgoing.channel}"
    if len(words) <= _MAX_ID:
        return words
    return f"{outgoing.touchpoint}:{outgoing.key.hex()}:{outgoing.channel}"


def spoken(context: Mapping[str, Any], locale: str) -> dict[str, str]:
    """The parameters of a template as the text says them, for providers that take only the template."""
    said: dict[str, str] = {}
    for name, value in context.items():
        match name, value:
            case _, int():
                said[name] = number(value, locale)
            case "next_growth", str():
                said[name] = money(value, str(context["currency"]), locale)
            case (("expires_on" | "effective_on"), str()):
                said[name] = day(value, locale)
            case _:
                said[name] = str(value)
    return said


def class_mark(message_class: MessageClass) -> bytes:
    """The bytes by which a rendered request of a class is told from others (quotes in a text are escaped)."""
    return b'"class":"%s"' % message_class.encode()


def render(outgoing: Outgoing, senders: Senders) -> bytes:
    """The request as a structured CloudEvent. Its id is that of the attempt, so it is one for ever."""
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
        # A machine wrote it: nobody's out-of-office may answer (RFC 3834).
        data["headers"] = {"Auto-Submitted": "auto-generated", "Content-Language": outgoing.text.locale}
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": f"{identifier}:{outgoing.attempt}",
            "source": SOURCE,
            "type": f"notify.{outgoing.channel}.requested.v1",
            "subject": outgoing.member_id,
            "time": rfc3339(outgoing.requested_at),
            "datacontenttype": "application/json",
            "data": data,
        }
    )
