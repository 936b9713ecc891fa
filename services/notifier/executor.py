"""One batch of one shard as one transaction: first the members change, then messages to them are decided.

In this order no message of a batch rests on a consent or an address that the same batch takes back (S6). Then each
occasion is decided over each channel of its touchpoint. Decisions whose business key was decided before are dropped
(S1); the others are appended. Requests go to the outbox in the same transaction as the attempts that account for
them (S5). In-app messages are not rendered here: their texts are made when they are read.

Inputs of members of another shard (a publisher may place keys in another way) are written to that shard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import orjson

from services.kit import log, metrics
from services.kit.calendar import MICROS_PER_SECOND, Micros
from services.kit.dead_letter import Refused
from services.kit.kafka import Shard, shard_of
from services.kit.outbox import OutboxRow, append
from services.kit.postgres import Connection
from services.kit.program import ProgramFollower
from services.notifier import store
from services.notifier.addresses import e164, mail_address
from services.notifier.domain.decision import Decision, decide, message_key
from services.notifier.domain.inputs import (
    BatchOccasion,
    ConsentChanged,
    DeviceRegistered,
    Erased,
    InboxRead,
    Input,
    MemberInput,
    PreferencesPut,
    apply_input,
    occasions_of,
)
from services.notifier.domain.member import Channel, Member, MessageClass, Recipient
from services.notifier.domain.occasions import Occasion, Parameters
from services.notifier.domain.policy import Policy, Reader, context
from services.notifier.events.outbound import TOPICS, Outgoing, Senders, render
from services.notifier.settings import NotifierSettings
from services.notifier.store import MessageRow, Withdrawal
from services.notifier.texts.formats import formatted
from services.notifier.texts.rendering import TemplateError, Texts

_log = log.get(__name__)

MAX_REQUEST_AGE: Final = 3 * 86_400 * MICROS_PER_SECOND
"""A request expires after this at the latest: its topic keeps it no longer."""

STRUCTURED: Final = (("content-type", b"application/cloudevents+json"),)


class Booked(msgspec.Struct, frozen=True):
    """An input was booked; `messages` is how many new decisions it made."""

    messages: int = 0


class Preferences(msgspec.Struct, frozen=True):
    """A member's preferences after a command."""

    member: Member


class Marked(msgspec.Struct, frozen=True):
    """How many messages a command marked as read, and how many are still unread."""

    marked: int
    unread: int


Outcome = Booked | Preferences | Marked
_BOOKED: Final = Booked()


class _Candidate(NamedTuple):
    """A decision that will be written, unless its key was decided before."""

    received: BatchOccasion
    decision: Decision
    policy: Policy
    recipient: Recipient

    @property
    def occasion(self) -> Occasion:
        return self.received.occasion

    def parameters(self) -> Parameters:
        """What happened; for confirmed points also the member's tier, from which the text names the next one."""
        if self.occasion.touchpoint != "points-confirmed":
            return self.occasion.parameters
        return {**self.occasion.parameters, "tier": self.recipient.member.tier}


class Notifier:
    """Books inputs: the only writer of the notifier's state."""

    def __init__(self, settings: NotifierSettings, programs: ProgramFollower[Policy], texts: Texts) -> None:
        self._settings = settings
        self._programs = programs
        self._texts = texts

    async def book(self, tx: Connection, shard: Shard, inputs: Sequence[Input]) -> Sequence[Outcome | Refused]:
        """Book a batch in the caller's transaction; answers an outcome for each input, in order."""
        shards = self._settings.shards
        by_shard: dict[Shard, list[tuple[int, Input]]] = {shard: []}
        for index, input_ in enumerate(inputs):
            by_shard.setdefault(shard_of(input_.member_id, shards), []).append((index, input_))
        await store.lock(tx, list(by_shard))
        outcomes: list[Outcome | Refused] = [_BOOKED] * len(inputs)
        for own_shard, indexed in by_shard.items():
            if indexed:
                await self._book_shard(tx, own_shard, indexed, outcomes)
        return outcomes

    async def _book_shard(
        self,
        tx: Connection,
        shard: Shard,
        indexed: Sequence[tuple[int, Input]],
        outcomes: list[Outcome | Refused],
    ) -> None:
        recipients = await self._update_members(tx, shard, [input_ for _, input_ in indexed])
        for index, input_ in indexed:
            if isinstance(input_, InboxRead):
                marked = await store.mark_read(tx, shard, input_)
                outcomes[index] = Marked(marked, await store.unread(tx, shard, input_.member_id))
            elif isinstance(input_, PreferencesPut):
                outcomes[index] = Preferences(recipients[input_.member_id].member)
        candidates: dict[bytes, _Candidate] = {}
        for received in occasions_of(indexed):
            self._decide(received, recipients[received.member_id], candidates)
        for key in await store.known_keys(tx, shard, list(candidates)):
            del candidates[key]
        for index, count in Counter(candidate.received.index for candidate in candidates.values()).items():
            outcomes[index] = Booked(count)
        await self._write(tx, shard, candidates)

    async def _update_members(self, tx: Connection, shard: Shard, inputs: Sequence[Input]) -> dict[str, Recipient]:
        """Apply the inputs about people and write what changed; answers all members of the batch as they are then."""
        member_inputs = [input_ for input_ in inputs if isinstance(input_, MemberInput)]
        changed = sorted({input_.member_id for input_ in member_inputs})
        recipients = await store.read_members(
            tx,
            shard,
            sorted({input_.member_id for input_ in inputs}),
            devices_of=sorted({input_.member_id for input_ in member_inputs if isinstance(input_, DeviceRegistered)}),
        )
        changes = [
            change for input_ in member_inputs for change in apply_input(recipients[input_.member_id].member, input_)
        ]
        for member_id in changed:
            recipients[member_id].addresses = self._addresses(recipients[member_id].member)
        await store.journal(tx, shard, changes)
        await store.save_members(tx, shard, {member_id: recipients[member_id] for member_id in changed})
        await store.withdraw_requests(tx, shard, _withdrawals(member_inputs, recipients))
        return recipients

    def _addresses(self, member: Member) -> dict[str, str]:
        country = member.value("country") or self._settings.default_country
        addresses = {"sms": e164(member.value("phone"), country), "email": mail_address(member.value("email"))}
        return {channel: address for channel, address in addresses.items() if address is not None}

    def _decide(self, received: BatchOccasion, recipient: Recipient, candidates: dict[bytes, _Candidate]) -> None:
        """Decide one occasion over each channel; of several decisions with one key the first in the batch stays."""
        occasion = received.occasion
        self._programs.check_newest()
        policy = self._programs.current_at(occasion.at).program
        rule = policy.touchpoints.get(occasion.touchpoint)
        for decision in decide(occasion, rule, recipient, self._texts.available, received.arrived_at):
            key = message_key(received.member_id, occasion.touchpoint, occasion.name, decision.channel)
            candidates.setdefault(key, _Candidate(received, decision, policy, recipient))

    async def _write(self, tx: Connection, shard: Shard, candidates: Mapping[bytes, _Candidate]) -> None:
        """Append the decisions, and for each message to a gateway its attempt and its request."""
        messages: list[MessageRow] = []
        sent: list[Outgoing] = []
        counts: Counter[tuple[str, str, str]] = Counter()
        for key, candidate in candidates.items():
            decision, parameters = candidate.decision, candidate.parameters()
            reason: str | None = decision.reason
            if decision.send and decision.channel in TOPICS:
                try:
                    sent.append(self._outgoing(key, candidate, parameters))
                except TemplateError as broken:
                    _log.error("template_broken", error=str(broken))
                    reason = "no_template"
            messages.append(_message_row(key, candidate, parameters, reason))
            counts[candidate.occasion.touchpoint, decision.channel, reason or "sent"] += 1
        for (touchpoint, channel, outcome), count in counts.items():
            metrics.count("messages_total", count, touchpoint=touchpoint, channel=channel, decision=outcome)
        await store.append_messages(tx, shard, messages)
        await store.append_attempts(tx, shard, sent)
        if sent:
            await append(tx, [self._request(shard, outgoing) for outgoing in sent])

    def _outgoing(self, key: bytes, candidate: _Candidate, parameters: Parameters) -> Outgoing:
        """A message for a gateway, rendered for its member. Raises TemplateError."""
        received, decision, policy, recipient = candidate
        occasion, member, settings = received.occasion, recipient.member, self._settings
        channel, message_class = decision.channel, decision.message_class
        locale = self._texts.locale_for(occasion.touchpoint, channel, member.value("locale"), settings.default_locale)
        # Only mail uses the name: a text message is read by whoever holds the telephone.
        name = member.value("name") if channel == "email" else None
        reader = Reader(locale, settings.default_locale, settings.shop_name, name)
        values = context(policy, occasion.touchpoint, parameters, occasion.at, reader)
        text = self._texts.render(occasion.touchpoint, channel, locale, values, promo=message_class == "promo")
        return Outgoing(
            member_id=received.member_id,
            key=key,
            attempt=1,
            channel=channel,
            to=recipient.addresses[channel],
            message_class=message_class,
            touchpoint=occasion.touchpoint,
            occasion=occasion.name,
            parameters=formatted(values, locale),
            text=text,
            consent_version=member.consent_version(channel, message_class),  # type: ignore[arg-type]
            requested_at=received.arrived_at,
            expires_at=_expires_at(candidate),
        )

    def _request(self, shard: Shard, outgoing: Outgoing) -> OutboxRow:
        signature = self._settings.sms_signature or outgoing.parameters["shop"]
        value = render(outgoing, Senders(signature, self._settings.email_from))
        return OutboxRow(shard, TOPICS[outgoing.channel], outgoing.member_id.encode(), value, STRUCTURED)


def _expires_at(candidate: _Candidate) -> Micros:
    """When a request is of no use any more: the topic has dropped it, or its occasion is no longer news."""
    latest = Micros(candidate.received.arrived_at + MAX_REQUEST_AGE)
    occasion = candidate.occasion
    rule = candidate.policy.touchpoints.get(occasion.touchpoint)
    if rule is None or rule.not_after is None:
        return latest
    return min(latest, Micros(occasion.at + rule.not_after))


def _message_row(key: bytes, candidate: _Candidate, parameters: Parameters, reason: str | None) -> MessageRow:
    received, decision, policy, _ = candidate
    occasion = received.occasion
    return MessageRow(
        key,
        received.member_id,
        occasion.touchpoint,
        occasion.name,
        decision.channel,
        decision.message_class,
        reason,
        orjson.dumps(parameters).decode(),
        policy.version,
        occasion.at,
        received.arrived_at,
    )


def _withdrawals(inputs: Sequence[MemberInput], recipients: Mapping[str, Recipient]) -> list[Withdrawal]:
    """The requests that may not leave any more: of erased members, and of classes whose consent was withdrawn."""
    withdrawals: list[Withdrawal] = []
    for input_ in inputs:
        member = recipients[input_.member_id].member
        match input_:
            case Erased() if member.erased:
                withdrawals += [Withdrawal(input_.member_id, topic, None) for topic in TOPICS.values()]
            case ConsentChanged() | PreferencesPut():
                withdrawals += [
                    Withdrawal(input_.member_id, TOPICS[channel], message_class)
                    for channel, message_class in _consent_cells(input_)
                    if channel in TOPICS and not member.allows(channel, message_class)
                ]
            case _:
                pass
    return withdrawals


def _consent_cells(input_: ConsentChanged | PreferencesPut) -> list[tuple[Channel, MessageClass]]:
    if isinstance(input_, ConsentChanged):
        return [(input_.channel, input_.message_class)]
    return [(channel, message_class) for channel, message_class, _ in input_.consents]
