"""One member of a batch: the account as it was read, the inputs that arrived, and the fold of them."""

from __future__ import annotations

from typing import Final

import asyncpg
import structlog

from schemas.events import RefusalReason, Refused
from services.ledger import store
from services.ledger.answers import answer_of, out_of_range
from services.ledger.domain.batch import Fold, fold_member
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.loaded import Loaded, Needs
from services.ledger.inputs import Booked, MemberCommand, Placed
from services.ledger.needs import FRESH, fact_key, sure_needs
from services.ledger.writes import AnswerRow

_log: Final = structlog.get_logger("ledger")


class MemberWork:
    """What a batch does for one member. `fold` is there once `run` has returned."""

    __slots__ = ("_row", "account", "fold", "inputs", "loaded")

    def __init__(self, row: asyncpg.Record, inputs: list[Placed]) -> None:
        self._row = row
        self.account: int = row["account"]
        self.inputs = inputs
        self.loaded = Loaded()
        self.fold: Fold

    def sure_needs(self) -> Needs:
        """What these inputs need in any case. Of an account without a version nothing exists yet."""
        if self._row["version"] == 0:
            self.loaded = FRESH
            return Needs()
        needs = sure_needs(input_.arrival.input_ for _, input_ in self.inputs)
        now = max(input_.arrival.now for _, input_ in self.inputs)
        if (due := self._row["next_due"]) is not None and due <= now:
            needs.due_until, needs.spendable = now, True
        return needs

    def needs_beyond_row(self) -> Needs:
        """The same for a row of `store.accounts_for_commands`, without what it has read already."""
        needs = self.sure_needs()
        if self.loaded is not FRESH:
            ((_, command),) = self.inputs
            if (key := fact_key(command.arrival.input_)) is not None:
                self.loaded.facts[key] = self._row["fact"]
                needs.facts.discard(key)
            self.loaded.spendable = [store.lot_of(lot) for lot in self._row["lots"] or ()]
            needs.spendable = False
        return needs

    def run(self, programs: ProgramVersions) -> None:
        """Fold the member's inputs. Raises Missing."""
        self.fold = fold_member(
            programs, lambda: store.account_of(self._row), self.loaded, [input_.arrival for _, input_ in self.inputs]
        )

    @property
    def has_changed(self) -> bool:
        """Whether there is anything to write: a timer that booked nothing still corrects `next_due`."""
        return bool(self.fold.rows) or self.fold.member.account.next_due != self._row["next_due"]

    def settle(self, outcomes: list[Booked | Refused], answers: list[AnswerRow]) -> None:
        """Put each input's outcome into its place. A command gets an answer, which is kept."""
        rows = iter(self.fold.rows)
        for (place, input_), outcome in zip(self.inputs, self.fold.outcomes, strict=True):
            if outcome is None:
                continue
            if outcome.kind == "failed":
                _log.error("input_failed", input=type(input_.arrival.input_).__name__, why=outcome.detail)
                outcomes[place] = Refused(RefusalReason.FAILED, None, outcome.detail)
                continue
            if outcome.kind == "out_of_range":
                beyond = Refused(
                    RefusalReason.OUT_OF_RANGE, None, f"the member's {outcome.detail} would pass the bound"
                )
                outcomes[place] = out_of_range() if isinstance(input_, MemberCommand) else beyond
                continue
            row = next(rows)
            outcomes[place] = outcome
            if isinstance(input_, MemberCommand):
                outcomes[place] = answer = answer_of(input_.member_id, row)
                answers.append((row.arrival.digest, row.now, input_.request, answer.status, answer.body))
