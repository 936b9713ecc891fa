"""One account on the real fold, with a dictionary where PostgreSQL would be.

It answers the fold's questions (`Missing`) exactly as the store does. Its figures have the form of the model's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Literal

import msgspec
import orjson

from schemas.events import Refused, parse_event
from services.kit.calendar import MICROS_PER_SECOND, NEVER, NOT_YET, Day, Micros, day_from, parse_rfc3339
from services.kit.event_time import check_event_time
from services.kit.money import exponent
from services.ledger.domain.batch import Arrival, NewJournalRow, fold_member
from services.ledger.domain.chain import digest_of
from services.ledger.domain.program.program import ProgramVersions, compile_program
from services.ledger.domain.state.account import NO_PROGRAM, Account
from services.ledger.domain.state.entries import NO_PARENT, LotKey
from services.ledger.domain.state.inputs import (
    AnyInput,
    CaptureHold,
    DecideShortfall,
    DueTimer,
    Enrolled,
    HoldPoints,
    RedeemPoints,
    ReleaseHold,
    RepairStreak,
    ReturnRedemption,
    SendPoints,
    TierHistoryReceived,
    encode_input,
)
from services.ledger.domain.state.loaded import Loaded, Missing, Needs, Success
from services.ledger.domain.state.lots import lot_row
from services.ledger.domain.state.messages import AskBudget, LotPart, ReceivePoints, ReferralAnswered, ReferralReceived
from services.ledger.domain.state.orders import decode_order, encode_lines, encode_order
from services.ledger.domain.state.outcome import Message, Outcome
from services.ledger.domain.state.refs import order_of, order_ref
from services.ledger.events.inbound import input_of
from services.ledger.events.internal import referral_message
from services.tiering.domain import member as tier_member
from services.tiering.domain.program import ProgramVersions as TierVersions
from services.tiering.domain.program import compile_program as compile_tiers
from services.tiering.domain.timeline import Entry as TierEntry
from services.tiering.domain.timeline import canonical
from tests.model import commands
from tests.model.events import Arrival as ModelArrival
from tests.model.events import Timer, hold_id, redemption_id
from tests.model.model import HistoryStep
from tests.model.result import Result
from tests.unit.ledger_result import result_of

_copy = msgspec.msgpack


class MemoryLedger:
    """The fold driven by events, input by input or in batches.

    With `tiers="closed"` tiering's own fold follows each batch at once and its history comes back as an input;
    with `"received"` only tier events change tiers. The accounts of campaigns' budgets, and those of other members as
    far as referrals go, answer each step at once; events of other members go to their accounts.
    """

    def __init__(
        self,
        program: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        tiers: Literal["closed", "received"] = "closed",
        member_id: str = "m1",
    ) -> None:
        self._documents = program
        documents = [program] if isinstance(program, Mapping) else list(program)
        self.programs = ProgramVersions(
            compile_program(number, document) for number, document in enumerate(documents, 1)
        )
        self._versions = TierVersions(compile_tiers(document) for document in documents)
        self._currency = documents[0]["currency"]
        self._closed = tiers == "closed"
        self._tiering = tier_member.Member()
        self._tier_no = 0
        self._seen: dict[tuple[bytes, Micros], bytes] = {}
        self._asked_for = 0
        self.clock = NOT_YET
        self.account = Account(1, member_id)
        self.budgets: dict[str, MemoryLedger] = {}
        self.others: dict[str, MemoryLedger] = {}
        self._heard = 0
        self._told = 0
        self._is_alone = False
        self.orders: dict[str, bytes] = {}
        self.lines: dict[tuple[str, int], bytes] = {}
        self.facts: dict[str, bytes] = {}
        self.lots: dict[LotKey, list[int]] = {}
        self.journal: list[NewJournalRow] = []
        self.outcomes: list[tuple[str, str]] = []

    # What goes in

    def play(self, history: Iterable[HistoryStep]) -> Result:
        """Take a whole history, one input at a time, and say where it leads."""
        for step in history:
            self.take(step)
        return self.result()

    def arrive(self, event: Mapping[str, Any], now: Micros) -> str:
        """Take an event that comes in at `now`; what became of it is returned."""
        if event["subject"] != self.account.member_id:
            outcome = self._other(event["subject"]).arrive(event, now)
            self.clock = max(self.clock, now)
            self.tick(now)
            return outcome
        arrival = self._arrival(event, now)
        if isinstance(arrival, str):
            outcome = arrival
        else:
            outcome = self._book([arrival])[0]
            if outcome == "out_of_range":
                del self._seen[arrival.digest, arrival.input_.at]
            self._follow(now)
        self.outcomes.append((event["id"], outcome))
        return outcome

    def take_together(self, batch: Sequence[ModelArrival | commands.Command]) -> None:
        """Take events and commands in one batch."""
        arrivals: list[Arrival] = []
        for step in batch:
            if isinstance(step, ModelArrival):
                arrival = self._arrival(step.event, step.now)
                if isinstance(arrival, str):
                    continue
            else:
                arrival = self._asked(step)
            arrivals.append(arrival)
        self._book(arrivals)

    def take(self, step: HistoryStep) -> None:
        """Take a step of a history."""
        match step:
            case Timer():
                self.tick(step.now)
            case ModelArrival():
                self.arrive(step.event, step.now)
            case _:
                self.command(step)

    def command(self, asked: commands.Command) -> str:
        """Take a command; "booked", or why it was refused."""
        arrival = self._asked(asked)
        self._book([arrival])
        self._follow(asked.now)
        outcome = next(row.outcome for row in reversed(self.journal) if row.arrival is arrival)
        answer = outcome.detail if outcome.kind == "refused" else outcome.kind
        self.outcomes.append((f"{type(asked).__name__} {asked.reference}", answer))
        return answer

    def take_event(self, event: Mapping[str, Any], now: Micros) -> None:
        """Take an event, and nothing that others answer to it."""
        arrival = self._arrival(event, now)
        if not isinstance(arrival, str):
            self._book([arrival])

    def do(self, input_: AnyInput, now: Micros) -> str:
        """Take an input as it is, at `now`; "booked", or why it was refused."""
        self.clock = max(self.clock, now)
        arrival = Arrival(digest_of(self.account.member_id, input_.source, input_.id), input_, now)
        self._book([arrival])
        outcome = next(row.outcome for row in reversed(self.journal) if row.arrival is arrival)
        return outcome.detail if outcome.kind == "refused" else outcome.kind

    def _asked(self, asked: commands.Command) -> Arrival:
        """A command as an input; each has a name of its own."""
        self.clock = max(self.clock, asked.now)
        self._asked_for += 1
        input_ = self._input_of(asked, str(self._asked_for))
        return Arrival(digest_of("m1", input_.source, input_.id), input_, asked.now)

    def _input_of(self, asked: commands.Command, name: str) -> AnyInput:
        """A command of a history as an input; its ids are those that the history's orders name."""
        head = ("/command", name, asked.now)
        hold, redemption = hold_id("m1", asked.reference), redemption_id("m1", asked.reference)
        match asked:
            case commands.Hold():
                return HoldPoints(*head, hold, asked.reference, asked.points, asked.ttl // MICROS_PER_SECOND)
            case commands.Capture():
                return CaptureHold(*head, hold, asked.points)
            case commands.Release():
                return ReleaseHold(*head, hold)
            case commands.Redeem():
                return RedeemPoints(*head, redemption, asked.reference, asked.points)
            case commands.GiveBack():
                return ReturnRedemption(*head, redemption, asked.points)
            case commands.RepairStreak():
                return RepairStreak(*head, day_from(date.fromisoformat(asked.reference)))
            case commands.Decide():
                ref = asked.reference if "/" in asked.reference else order_ref("", asked.reference)
                return DecideShortfall(*head, ref, asked.decision == "write_off")
            case commands.Referred():
                since = asked.now if asked.at is None else asked.at
                program = self.programs.at(since)
                stands = asked.at is not None and program.referral is not None
                stands_under = program.number if stands else NO_PROGRAM
                told_at = NOT_YET if asked.told is None else asked.told
                return ReferralReceived(*head[:2], since, asked.reference, stands_under, int(name), told_at)
            case commands.Send():
                return SendPoints(*head, asked.reference, asked.reference, "m2", asked.points)
            case commands.Receive():
                lots = tuple(LotPart(_ordinal(day), _ordinal(parent), points) for day, parent, points in asked.lots)
                return ReceivePoints(*head, asked.reference, "m2", lots)

    def tick(self, now: Micros) -> None:
        """Move the clock to `now` and do everything that is due."""
        self.clock = max(self.clock, now)
        due = self.account.next_due
        if due is not None and due <= now:
            name = f"due:{due}:{self.account.version}"
            self._book([Arrival(digest_of("m1", "/timer", name), DueTimer("/timer", name, due), now)])
        self._follow(now)

    def _arrival(self, event: Mapping[str, Any], now: Micros) -> Arrival | str:
        input_ = self._input(event, now)
        if isinstance(input_, str):
            return input_
        digest = digest_of(event["subject"], event["source"], event["id"])
        key, encoded = (digest, input_.at), encode_input(input_)
        if key in self._seen:
            return "known" if self._seen[key] == encoded else "conflict"
        self._seen[key] = encoded
        self.clock = max(self.clock, now)
        return Arrival(digest, input_, now)

    def _input(self, event: Mapping[str, Any], now: Micros) -> AnyInput | str:
        if event["type"].startswith("loyalty.tier."):
            data = event["data"]
            if event["type"] == "loyalty.tier.enrolled.v1":
                return Enrolled(event["source"], event["id"], parse_rfc3339(event["time"]))
            return TierHistoryReceived(
                event["source"],
                event["id"],
                parse_rfc3339(event["time"]),
                (data["member_version"], data["event_no"]),
                tuple((parse_rfc3339(step["effective_at"]), step["tier"]) for step in data["history"]),
            )
        try:
            read = parse_event(orjson.dumps(event))
            input_ = input_of(read, self._currency, exponent(self._currency), lambda at: self.programs.at(at).needs)
            assert input_ is not None
            check_event_time(input_.at, now)
        except Refused as refused:
            return str(refused.reason)
        return input_

    def _follow(self, now: Micros) -> None:
        """Let tiering, the accounts of budgets and other members follow what is booked."""
        self._follow_tiers(now)
        self._follow_budgets(now)
        if self._is_alone:
            return
        for other in list(self.others.values()):
            other.tick(now)
        while letters := self._referral_messages():
            for message in letters:
                # Of another member, whose first order a command tells of here, no account may have asked.
                if message.to == self.account.member_id:
                    self.do(message.input_, now)
                elif isinstance(message.input_, ReferralReceived) or message.to in self.others:
                    self._other(message.to).do(message.input_, now)
            self._follow_tiers(now)

    def _other(self, member_id: str) -> MemoryLedger:
        """Another member's account, which tells nobody anything by itself."""
        if member_id not in self.others:
            other = self.others[member_id] = MemoryLedger(self._documents, tiers="received", member_id=member_id)
            other._is_alone = True
        return self.others[member_id]

    def _referral_messages(self) -> list[Message]:
        """What these accounts tell each other of referrals and have not heard yet."""
        messages: list[Message] = []
        for each in (self, *self.others.values()):
            for row in each.journal[each._told :]:
                member_id = each.account.member_id
                messages += [referral_message(member_id, row, referral) for referral in row.outcome.referrals]
                messages += [said for said in row.outcome.messages if isinstance(said.input_, ReferralAnswered)]
            each._told = len(each.journal)
        return messages

    def _follow_budgets(self, now: Micros) -> None:
        for message in self.messages(since=self._heard):
            if isinstance(message.input_, AskBudget):
                budget = self.budgets.get(message.to)
                if budget is None:
                    budget = self.budgets[message.to] = MemoryLedger(self._documents, member_id=message.to)
                answers = len(budget.journal)
                budget.do(message.input_, now)
                for answer in budget.messages(since=answers):
                    self.do(answer.input_, now)
        self._heard = len(self.journal)

    def messages(self, since: int = 0) -> list[Message]:
        """What this account sends to others, from a place in its journal on."""
        return [message for row in self.journal[since:] for message in row.outcome.messages]

    def _follow_tiers(self, now: Micros) -> None:
        """Pass what qualified to tiering and its histories to the ledger, until neither has anything new."""
        if not self._closed:
            return
        done = 0
        while done < len(self.journal):
            rows, done = self.journal[self._tier_no :], len(self.journal)
            self._tier_no = done
            for row in rows:
                self._book_in_tiering(row)

    def _book_in_tiering(self, row: NewJournalRow) -> None:
        for number, qualified in enumerate(row.outcome.qualified):
            entries = [TierEntry(turn.at, turn.amount, turn.orders) for turn in qualified.timeline]
            cause = tier_member.Cause("test", "/ledger", f"{row.version}:{number}", row.arrival.input_.at)
            key = tier_member.order_key(*(order_of(qualified.order) or ("", "")))
            order = tier_member.Order(row.version, number, canonical(entries))
            decision = tier_member.decide(
                self._versions, self._tiering, tier_member.TimelineReceived("m1", key, order, cause), {}, complete=True
            )
            if decision is not None:
                history = tuple((reached.effective_at, reached.tier) for reached in decision.position.reached)
                name = f"tier:{decision.version}"
                input_ = TierHistoryReceived("/loyalty/tiering", name, cause.time, (decision.version, 0), history)
                self._book([Arrival(digest_of("m1", input_.source, name), input_, row.now)])

    # What stands for the store

    def _book(self, arrivals: Sequence[Arrival]) -> list[str]:
        loaded = Loaded()
        while True:
            try:
                fold = fold_member(self.programs, self.copy_of_account, loaded, arrivals)
                break
            except Missing as question:
                self.load(loaded, question.needs)
        member = fold.member
        self.account = member.account
        for lot, changes in member.lots.changes.items():
            columns = self.lots.setdefault(lot, [0, 0, 0, 0, 0])
            self.lots[lot] = [before + change for before, change in zip(columns, changes, strict=True)]
        for ref in member.touched:
            self.orders[ref] = encode_order(member.orders[ref])
        for key, lines in member.new_lines.items():
            self.lines[key] = encode_lines(lines)
        self.facts.update({key: value for key, value in member.facts.items() if value is not None})
        self.journal += fold.rows
        for outcome in fold.outcomes:
            assert outcome is None or outcome.kind != "failed", outcome
        return ["none" if outcome is None else outcome.kind for outcome in fold.outcomes]

    def copy_of_account(self) -> Account:
        """The account as the store would read it anew."""
        return _copy.decode(_copy.encode(self.account), type=Account)

    def load(self, loaded: Loaded, needs: Needs) -> None:
        """Answer what the fold asks for, as the store does."""
        for ref in needs.orders:
            loaded.orders[ref] = self.orders.get(ref)
        for key in needs.lines:
            loaded.lines[key] = self.lines[key]
        for fact in needs.facts:
            loaded.facts[fact] = self.facts.get(fact)
        rows = [lot_row(lot, columns) for lot, columns in self.lots.items()]
        if needs.spendable:
            loaded.spendable = [row for row in rows if row.available > 0]
        for day in needs.families:
            loaded.families[day] = [
                row for row in rows if (row.day, row.parent) == (day, NO_PARENT) or row.parent == day
            ]
        orders = {ref: decode_order(raw) for ref, raw in self.orders.items()}
        if (until := needs.due_until) is not None:
            loaded.due_until = until
            loaded.due = [(ref, order.due) for ref, order in orders.items() if 0 < order.due <= until]
            loaded.due_later = min(
                ((order.due, ref) for ref, order in orders.items() if order.due > until), default=None
            )
        if needs.successes:
            loaded.successes = [
                Success(ref, order.paid_at, order.success_from, order.success_until)
                for ref, order in orders.items()
                if order.success_from
            ]
        if (after := needs.paid_after) is not None:
            loaded.paid_after = after
            loaded.paid_later = [(ref, order.paid_at) for ref, order in orders.items() if order.paid_at > after]

    # What comes out

    def result(self) -> Result:
        """The account as of the clock; what is due by then must have been booked (`tick`)."""
        return result_of(self)


def _ordinal(day: str | None) -> Day:
    return NO_PARENT if day is None else NEVER if day == "never" else day_from(date.fromisoformat(day))


__all__ = ["MemoryLedger", "Outcome"]
