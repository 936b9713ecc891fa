"""Messages: requests to the gateways, and what the gateways and the members answer."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from schemas.events.envelope import Envelope
from schemas.events.fields import (
    Address,
    Count,
    Id,
    Instant,
    Locale,
    LongText,
    MemberId,
    MessageClass,
    Positive,
    Text,
    Token,
)


class MessageTemplate(TypedDict):
    """The text by reference: some providers take only this."""

    code: Token
    parameters: dict[str, Text]


_Class = TypedDict("_Class", {"class": MessageClass})


class MessageRequest(_Class):
    """What every request to a gateway says."""

    message_id: Id
    """The same on every attempt."""
    attempt: Positive
    locale: Locale
    template: MessageTemplate
    expirytime: Instant
    """A gateway drops the message after this."""
    dedupe_key: Id
    """A business key: one message a member, touchpoint, occasion and channel, for ever (S1)."""
    consent_version: Count
    """The version of the member's consents that allowed it; 0 where none is needed."""


class SmsData(MessageRequest):
    """A text message."""

    to: Address
    signature: Text
    """The sender's name as registered with the provider."""
    text: LongText


class SmsRequested(Envelope):
    """A text message is to be sent."""

    type: Literal["notify.sms.requested.v1"]
    data: SmsData


_Sender = TypedDict("_Sender", {"from": Address})


class EmailData(MessageRequest, _Sender):
    """A mail."""

    to: Address
    subject: Text
    text: LongText
    html: NotRequired[LongText]
    headers: dict[str, Text]
    """Further header fields, such as `List-Unsubscribe`."""


class EmailRequested(Envelope):
    """A mail is to be sent."""

    type: Literal["notify.email.requested.v1"]
    data: EmailData


class PushData(MessageRequest):
    """A push message."""

    to: Annotated[str, Field(min_length=1, max_length=4096)]
    """The device's token."""
    platform: Token
    title: Text
    text: LongText


class PushRequested(Envelope):
    """A push message is to be sent."""

    type: Literal["notify.push.requested.v1"]
    data: PushData


class InappData(MessageRequest):
    """A message in the app's inbox."""

    to: MemberId
    title: Text
    text: LongText


class InappRequested(Envelope):
    """A message was put into a member's inbox; the app may show a mark."""

    type: Literal["notify.inapp.requested.v1"]
    data: InappData


class ParcelData(MessageRequest):
    """An insert for a parcel."""

    order_id: Id
    text: LongText
    qr: Text
    """What the QR code holds."""


class ParcelRequested(Envelope):
    """An insert is to be printed for a parcel."""

    type: Literal["notify.parcel.requested.v1"]
    data: ParcelData


class ReceiptData(TypedDict):
    """What became of an attempt. States only move forward, in whatever order receipts come."""

    message_id: Id
    attempt: Positive
    gateway: Token
    status: Literal["accepted", "delivered", "failed", "expired", "rejected", "opted_out"]
    code: NotRequired[Text]
    """The provider's code."""
    text: NotRequired[Text]
    provider_ref: NotRequired[Text]


class Receipt(Envelope):
    """A gateway says what became of a message. The subject is that of the request."""

    type: Literal["notify.receipt.v1"]
    data: ReceiptData


_InboundFrom = TypedDict("_InboundFrom", {"from": Address})


class InboundData(_InboundFrom):
    """A reply as it came in, such as STOP."""

    gateway: Token
    to: Address
    text: LongText
    received_at: Instant


class Inbound(Envelope):
    """Somebody answered a message. The gateway does not know the member: the subject is the gateway."""

    type: Literal["notify.inbound.v1"]
    data: InboundData


NotifyEvent = SmsRequested | EmailRequested | PushRequested | InappRequested | ParcelRequested | Receipt | Inbound
"""Everything on the topics of messages."""
