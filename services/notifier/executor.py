"""One batch of one shard as one transaction: what is told about people first, then what is told to them.

People first, so that no message of a batch rests on a consent or an address that the same batch takes back (S6).
Then each occasion is decided over each way of its touchpoint; what was decided before, by business key, is
dropped (S1); the rest is appended. Requests go to the outbox in the same transaction as the attempts that account
for them (S5). In-app messages are not rendered: their texts are made when they are read.

Inputs of members of another shard (their publisher places keys in its own way) are written where they belong.
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
from services.kit.kafka import shard_of
from services.kit.outbox import OutboxRow, append
from services.kit.postgres import Connection
from services.kit.program import ProgramFollower
from services.notifier import store
from services.notifier.addresses import e164, mail_address
from services.notifier.domain.decision import Decision, decide, message_key
from services.notifier.domain.inputs import (
    ConsentChanged,
    DeviceRegistered,
    Erased,
    Heard,
    InboxRead,
    Input,
    PreferencesPut,
    Telling,
    absorb,
    gather,
)
from services.notifier.domain.member import Channel, Member, MessageClass
from services.notifier.domain.policy import Policy, Reader, context
from services.notifier.domain.touchpoint import Occasion, Parameters
from services.notifier.events.outbound import TOPICS, Outgoing, Senders, render, spoken
from services.notifier.rendering import TemplateError, Texts
from services.notifier.settings import NotifierSettings
from services.notifier.store import Known, MessageRow

_log = log.get(__name__)

LONGEST_LIFE: Final[Micros] = 3 * 86_400 * MICROS_PER_SECOND
"""A request is of no use beyond this: its topic keeps it no longer."""

STRUCTURED: Final = (("content-type", b"application/cloudevents+json"),)


class Booked(msgspec.Struct, frozen=True):
    """An input has had its effect; `messages` is how many new decisions it made."""

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
    """A decision about to be written, unless its key is known."""

    heard: Heard
    decision: Decision
    policy: Policy
    known: Known


class Notifier:
    """Books inputs: the one way in which the notifier's state changes."""

    def __init__(self, settings: NotifierSettings, programs: ProgramFollower[Policy], texts: Texts) -> None:
        self._settings = settings
        self._programs = programs
        self._texts = texts

    async def book(self, tx: Connection, shard: int, inputs: Sequence[Input]) -> Sequence[Outcome | Refused]:
        """Book a batch in the caller's transaction; answers an outcome for each input, in order."""
        shards = self._settings.shards
        by_shard: dict[int, list[tuple[int, Input]]] = {shard: []}
        for place, each in enumerate(inputs):
            by_shard.setdefault(shard_of(each.member_id, shards), []).append((place, each))
        await store.lock(tx, list(by_shard))
        outcomes: list[Outcome | Refused] = [_BOOKED] * len(inputs)
        for home, placed in by_shard.items():
            if placed:
                await self._book_shard(tx, home, placed, outcomes)
        return outcomes

    async def _book_shard(
        self,
        tx: Connection,
        shard: int,
        placed: Sequence[tuple[int, Input]],
        outcomes: list[Outcome | Refused],
    ) -> None:
        people = await self._absorb(tx, shard, [each for _, each in placed])
        for place, each in placed:
            if isinstance(each, InboxRead):
                marked = await store.mark_read(tx, shard, each)
                outcomes[place] = Marked(marked, await store.unread(tx, shard, each.member_id))
            elif isinstance(each, PreferencesPut):
                outcomes[place] = Preferences(people[each.member_id].member)
        candidates: dict[bytes, _Candidate] = {}
        for heard in gather(placed):
            self._consider(heard, people[heard.member_id], candidates)
        for key in await store.known_keys(tx, shard, list(candidates)):
            del candidates[key]
        await self._write(tx, shard, candidates, outcomes)

    async def _absorb(self, tx: Connection, shard: int, inputs: Sequence[Input]) -> dict[str, Known]:
        """Merge what is told about people, write it, and answer all members of the batch as they are then."""
        tellings = [each for each in inputs if isinstance(each, Telling)]
        changed = sorted({each.member_id for each in tellings})
        people = await store.read_members(
            tx,
            shard,
            sorted({each.member_id for each in inputs}),
            devices_of=sorted({each.member_id for each in tellings if isinstance(each, DeviceRegistered)}),
        )
        changes = [change for each in tellings for change in absorb(people[each.member_id].member, each)]
        for member_id in changed:
            people[member_id].addresses = self._addresses(people[member_id].member)
        await store.journal(tx, shard, changes)
        await store.save_members(tx, shard, {member_id: people[member_id] for member_id in changed})
        await store.withdraw(tx, shard, _unwanted(tellings, people))
        return people

    def _addresses(self, member: Member) -> dict[str, str]:
        country = member.value("country") or self._settings.default_country
        addresses = {"sms": e164(member.value("phone"), country), "email": mail_address(member.value("email"))}
        return {channel: address for channel, address in addresses.items() if address is not None}

    def _consider(self, heard: Heard, known: Known, candidates: dict[bytes, _Candidate]) -> None:
        """Decide one occasion over each way; the first telling of a key in the batch stands."""
        occasion = heard.occasion
        policy = self._programs.current_at(occasion.at).program
        rule = policy.touchpoints.get(occasion.touchpoint)
        for decision in decide(occasion, rule, known.member, known.addresses, self._texts.available, heard.now):
            key = message_key(heard.member_id, occasion.touchpoint, occasion.name, decision.channel)
            candidates.setdefault(key, _Candidate(heard, decision, policy, known))

    async def _write(
        self,
        tx: Connection,
        shard: int,
        candidates: dict[bytes, _Candidate],
        outcomes: list[Outcome | Refused],
    ) -> None:
        messages: list[MessageRow] = []
        sent: list[Outgoing] = []
        made: Counter[int] = Counter()
        counts: Counter[tuple[str, str, str]] = Counter()
        for key, (heard, decision, policy, known) in candidates.items():
            occasion = heard.occasion
            parameters = _parameters(occasion, known.member)
            reason: str | None = decision.reason
            if decision.send and decision.channel in TOPICS:
                try:
                    sent.append(self._outgoing(key, heard, decision, policy, known, parameters))
                except TemplateError as broken:
                    _log.error("template_broken", error=str(broken))
                    reason = "no_template"
            messages.append(
                MessageRow(
                    key,
                    heard.member_id,
                    occasion.touchpoint,
                    occasion.name,
                    decision.channel,
                    decision.message_class,
                    reason,
                    orjson.dumps(parameters).decode(),
                    policy.version,
                    occasion.at,
                    heard.now,
                )
            )
            made[heard.place] += 1
            counts[occasion.touchpoint, decision.channel, reason or "sent"] += 1
        for place, count in made.items():
            outcomes[place] = Booked(count)
        for (touchpoint, channel, outcome), count in counts.items():
            metrics.count("messages_total", count, touchpoint=touchpoint, channel=channel, decision=outcome)
        await store.append_messages(tx, shard, messages)
        await store.append_attempts(tx, shard, sent)
        if sent:
            await append(tx, [self._request(shard, out) for out in sent])

    def _outgoing(
        self,
        key: bytes,
        heard: Heard,
        decision: Decision,
        policy: Policy,
        known: Known,
        parameters: Parameters,
    ) -> Outgoing:
        """A message for a gateway, rendered for its member. Raises TemplateError."""
        occasion, member, settings = heard.occasion, known.member, self._settings
        locale = self._texts.locale_for(
            occasion.touchpoint, decision.channel, member.value("locale"), settings.default_locale
        )
        # A name is said in mail alone: a text message is read by whoever holds the telephone.
        name = member.value("name") if decision.channel == "email" else None
        reader = Reader(locale, settings.default_locale, settings.shop_name, name)
        said = context(policy, occasion.touchpoint, parameters, occasion.at, reader)
        promo = decision.message_class == "promo"
        rule = policy.touchpoints.get(occasion.touchpoint)
        latest = heard.now + LONGEST_LIFE
        if rule is not None and rule.not_after is not None:
            latest = min(latest, occasion.at + rule.not_after)
        return Outgoing(
            member_id=heard.member_id,
            key=key,
            attempt=1,
            channel=decision.channel,
            to=known.addresses[decision.channel],
            message_class=decision.message_class,
            touchpoint=occasion.touchpoint,
            occasion=occasion.name,
            parameters=spoken(said, locale),
            text=self._texts.render(occasion.touchpoint, decision.channel, locale, said, promo=promo),
            consent_version=member.consent_version(decision.channel, decision.message_class),  # type: ignore[arg-type]
            requested_at=heard.now,
            expires_at=latest,
        )

    def _request(self, shard: int, out: Outgoing) -> OutboxRow:
        signature = self._settings.sms_signature or out.parameters["shop"]
        value = render(out, Senders(signature, self._settings.email_from))
        return OutboxRow(shard, TOPICS[out.channel], out.member_id.encode(), value, STRUCTURED)


def _parameters(occasion: Occasion, member: Member) -> Parameters:
    """What happened, and where the member stands if the text goes on from there."""
    if occasion.touchpoint != "points-confirmed":
        return occasion.parameters
    return {**occasion.parameters, "tier": member.tier}


def _unwanted(tellings: Sequence[Telling], people: Mapping[str, Known]) -> list[tuple[str, str, MessageClass | None]]:
    """Whose requests must not leave any more: the erased, and those of a class whose consent was withdrawn."""
    unwanted: list[tuple[str, str, MessageClass | None]] = []
    for telling in tellings:
        member = people[telling.member_id].member
        match telling:
            case Erased() if member.erased:
                unwanted += [(telling.member_id, topic, None) for topic in TOPICS.values()]
            case ConsentChanged() | PreferencesPut():
                unwanted += [
                    (telling.member_id, TOPICS[channel], message_class)
                    for channel, message_class in _cells(telling)
                    if channel in TOPICS and not member.allows(channel, message_class)
                ]
            case _:
                pass
    return unwanted


def _cells(telling: ConsentChanged | PreferencesPut) -> list[tuple[Channel, MessageClass]]:
    if isinstance(telling, ConsentChanged):
        return [(telling.channel, telling.message_class)]
    return [(channel, message_class) for channel, message_class, _ in telling.consents]
