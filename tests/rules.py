"""The rules by their codes, what of them is not built yet, and the tests that name them: `python -m tests.rules`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.model.table import CASES

_TESTS: Final = Path(__file__).parent
_OF_THE_MODEL: Final = {"test_table_model.py", "test_model_properties.py"}
"""They hold the naive model to the rules, which says nothing of what the services do."""
_CODE: Final = re.compile(r"(?<![A-Za-z0-9])[NRPEDOTVBMS]\d{1,2}(?![A-Za-z0-9])")


class Rule(NamedTuple):
    """One rule, in a sentence.

    `lacks` says what is not built of it, if anything, and `option` where a program would ask for that: as long as such
    a program is refused by name. `partly`: the rest of it is built, and has its tests.
    """

    says: str
    lacks: str = ""
    option: str = ""
    partly: bool = False

    @property
    def is_tested(self) -> bool:
        """Whether there is something of it that tests can show."""
        return self.partly or not self.lacks


_VALIDITY: Final = ("tiers that end", "tiers.validity")
_EVALUATION: Final = "evaluation and analysis"
_MERGES: Final = "merging members"

RULES: Final = {
    "N1": Rule("Band, tier and campaign multiply as exact fractions; an order is rounded once."),
    "N2": Rule("Several multipliers go together as the program says, in the order written."),
    "N3": Rule("A cap is a pool: each fact books its change of what the period's awards come to."),
    "N4": Rule("An entry can be explained: from event, rule and version to what later took from it."),
    "N5": Rule("Band and rate look at eligible lines alone; nobody earns more by paying less."),
    "N6": Rule("A campaign's budget is a pool, and says when it is spent."),
    "R1": Rule("A clawback is what was earned so far less what the rest earns."),
    "R2": Rule("However refunds are split, the end is the same, and nobody gains a point by one."),
    "R3": Rule("A refund is recomputed or proportional; either way on the sum of refunds."),
    "R4": Rule("Lines that earn nothing take nothing."),
    "R5": Rule("Of a pending order the pending points shrink; no spendable point moves."),
    "R6": Rule("A clawback takes from the order's lot, then in spending order, then owes, clamps or asks."),
    "R7": Rule("Points that have expired are not taken again."),
    "R8": Rule(
        "Growth and successes fall with a refund at once; the tier as the program says.",
        "tiers that follow a refund", "tiers.tier_on_refund", partly=True,
    ),
    "R9": Rule("The first-purchase bonus stands while there is a successful order, in that order's lot."),
    "R10": Rule("Refunds of shipping, of tax and out of goodwill take no points."),
    "R11": Rule("Refunds are capped by their line, in order of time; a cancellation ends them."),
    "P1": Rule("What points pay earns nothing, unless the program says gross."),
    "P2": Rule("Points used are apportioned once; partial refunds return exactly what was used."),
    "P3": Rule("Points return to the lots they came from, the last used first."),
    "P4": Rule("What returns to a lot that is over has days of grace, once."),
    "P5": Rule("A hold ends once: captured, released or timed out."),
    "P6": Rule("What comes in pays debt first; what is over already expires instead."),
    "P7": Rule("An order uses points through its hold or redemption; what those lack is owed."),
    "E1": Rule("A lot can be spent to the end of its local day, whether or not a job has run."),
    "E2": Rule("A hold outlives its lot; what it releases then expires at once."),
    "E3": Rule("Under sliding expiry activity keeps all open points."),
    "E4": Rule("A month later is never beyond that month's end."),
    "E5": Rule(
        "No new version moves the day of a granted lot; an adjustment does, by name.",
        "adjustments", "adjustments", partly=True,
    ),
    "E6": Rule("What expires first is spent first, plain before grace; what never expires, last."),
    "E7": Rule("An order's lot day is fixed by what is known when it is paid."),
    "D1": Rule("A day is the local date of the business time, and stands on the entry."),
    "D2": Rule("A day's sign-in is rewarded once."),
    "D3": Rule("Two seconds can be two days; a day of 23 or 25 hours is one."),
    "D4": Rule("A missed day restarts the streak, unless it is bought."),
    "D5": Rule("Streak steps repeat; late days are made up for and never take points."),
    "D6": Rule("The profile award is due when all its fields were first filled together."),
    "O1": Rule("The same event again does nothing; with another payload it is refused."),
    "O2": Rule("Of several tellings of a fact the earliest holds; a revision replaces lines."),
    "O3": Rule("A refund before its order waits for it, and is reported when it waits too long."),
    "O4": Rule("A cancellation after completion reverses all."),
    "O5": Rule("An order cancelled before it is paid or completed earns nothing and returns its points."),
    "O6": Rule("Any order of arrival ends the same."),
    "O7": Rule("Any cut into batches writes the same rows."),
    "O8": Rule("Lines complete when told or when due, in business time, and confirm their share."),
    "O9": Rule("What lateness can change is bounded where a fact enters."),
    "T1": Rule("An order earns at the tier before its paid time; tiers told late are trued up."),
    "T2": Rule("Tiers are half-open intervals; one order may jump several, with one message."),
    "T3": Rule(
        "Spending and expiring lower no tier; a condition on points counts those earned.",
        "conditions on points", "tiers.ladder[].when.**.points", partly=True,
    ),
    "T4": Rule("An upgrade starts a new validity; meeting the condition again does not.", *_VALIDITY),
    "T5": Rule("At the end of its validity a tier is kept, or drops after days of grace.", *_VALIDITY),
    "T6": Rule("What counts in the window counts when it is told late, too.", *_VALIDITY),
    "T7": Rule("An override has reason, actor and end; nothing automatic undoes it before.", "overrides"),
    "T8": Rule("At midnight: confirmations, expiries, and then the mark that the day is closed."),
    "T9": Rule("A tier history is a function of timelines and program alone."),
    "T10": Rule(
        "Who registers or joins is enrolled; who only orders is a member without a gift.",
        "restricted membership", "membership.kind", partly=True,
    ),
    "V1": Rule("Thresholds from the shares to keep.", _EVALUATION),
    "V2": Rule("Shares from the thresholds to keep.", _EVALUATION),
    "V3": Rule("Figures that cannot be are named.", _EVALUATION),
    "V4": Rule("Quintiles of recency, frequency and amount; ties share a score.", _EVALUATION),
    "V5": Rule("The pyramid, by revenue and by profit with its losses.", _EVALUATION),
    "V6": Rule("Silence: who is at risk, who lapsed, who came back.", _EVALUATION),
    "V7": Rule("Lifetime from churn, and what a member costs to serve.", _EVALUATION),
    "V8": Rule("Presets are target shares.", _EVALUATION),
    "B1": Rule("29 February in common years is as the program says."),
    "B2": Rule("A birthday comes once a year, and not if it was told less than 30 days before."),
    "M1": Rule("A merge moves lots, holds, debt and growth; the higher tier stays.", _MERGES),
    "M2": Rule("The merged member is an alias from then on.", _MERGES),
    "M3": Rule("Of two consents the stricter holds.", _MERGES),
    "S1": Rule("One message a member, touchpoint, occasion and channel."),
    "S2": Rule("A promotion needs recorded consent and carries a way out."),
    "S3": Rule(
        "What is no longer news is not told; quiet hours and caps are kept.", "quiet hours and caps", partly=True
    ),
    "S4": Rule("Debt and downgrades are always told."),
    "S5": Rule("Nothing leaves without a committed attempt."),
    "S6": Rule("After a withdrawal nothing of its class leaves any more."),
    "S7": Rule("A touchpoint carries policy and not only news."),
}  # fmt: skip


def named_by_tests() -> dict[str, list[str]]:
    """By rule, the tests and cases of the table that name it and hold the services to it."""
    found: dict[str, list[str]] = {code: [] for code in RULES}
    for name in [*_test_names(), *(case.id for case in CASES)]:
        for code in set(_CODE.findall(name.replace("_", " "))):
            found.setdefault(code, []).append(name)
    return found


def listing() -> Iterator[str]:
    """The rules as a table, one a line."""
    for code, names in named_by_tests().items():
        rule = RULES[code]
        missing = f" [{'in part: no' if rule.partly else 'not built:'} {rule.lacks}]" if rule.lacks else ""
        yield f"{code:<4}{len(names):>4}  {rule.says}{missing}"


def _test_names() -> Iterator[str]:
    for file in sorted(_TESTS.rglob("test_*.py")):
        if file.name not in _OF_THE_MODEL:
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                    yield node.name


if __name__ == "__main__":
    print("rule tests", *listing(), sep="\n")
