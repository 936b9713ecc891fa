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
"""These tests hold the naive model to the rules and show nothing of the services."""
_CODE: Final = re.compile(r"(?<![A-Za-z0-9])[NRPEDOFXTVBMSCZ]\d{1,2}(?![A-Za-z0-9])")


class Rule(NamedTuple):
    """One rule, in a sentence.

    `lacks` is the part of it that is not built, if any, and `option` the option of a program that would ask for that
    part: until it is built, a program with that option is refused. `partly`: the rest is built and has its tests.
    """

    sentence: str
    lacks: str = ""
    option: str = ""
    partly: bool = False

    @property
    def is_tested(self) -> bool:
        """Whether any part of it is built, so that tests can show it."""
        return self.partly or not self.lacks


_VALIDITY: Final = ("tiers that end", "tiers.validity")
_EVALUATION: Final = "evaluation and analysis"
_MERGES: Final = "merging members"

RULES: Final = {
    "N1": Rule("Band, tier and campaign multiply as exact fractions; an order is rounded once."),
    "N2": Rule("Several multipliers go together as the program says, in the order written."),
    "N3": Rule("A cap is a pool: each fact books by how much it changes the capped sum of the period's awards."),
    "N4": Rule("Each entry can be explained: its event, rule and program version, and what was taken from it later."),
    "N5": Rule("Band and rate look at eligible lines alone; paying less never earns more."),
    "N6": Rule("A campaign's budget is a pool; when it is spent, its account reports it once."),
    "N7": Rule("An activity earns once for what it is about, if the program says so, and not once it is withdrawn."),
    "N8": Rule("A review may earn only while the member has received the goods and not sent all of them back."),
    "N9": Rule("An order may earn points for each full amount; multipliers come before the one rounding."),
    "R1": Rule("A clawback takes what the order earned so far less what the rest of it earns."),
    "R2": Rule("However refunds are split, the end is the same, and no refund gains a point."),
    "R3": Rule("A refund is recomputed or proportional; either way on the sum of refunds."),
    "R4": Rule("A refund of lines that earn nothing takes no points."),
    "R5": Rule("A refund of a pending order lessens its pending points; no spendable point moves."),
    "R6": Rule("A clawback takes from the order's lot, then in spending order; the rest is owed or written off."),
    "R7": Rule("Points that have expired are not taken again."),
    "R8": Rule(
        "Growth and successes fall with a refund at once; the tier as the program says.",
        "tiers that follow a refund", "tiers.tier_on_refund", partly=True,
    ),
    "R9": Rule("The first-purchase bonus stands while there is a successful order, in that order's lot."),
    "R10": Rule("Refunds of shipping, of tax and out of goodwill take no points."),
    "R11": Rule("Refunds are capped by their line, in order of time; a cancellation ends them."),
    "R12": Rule("A refund that failed never happened, whichever of the two came first."),
    "R13": Rule("A reinstated order is as if it had never been cancelled; of both the latest holds."),
    "P1": Rule("What is paid with points earns nothing, unless the program earns on the gross amount."),
    "P2": Rule("Points used are apportioned once; refunds return exactly what was used, and what had no use at once."),
    "P3": Rule("Points return to the lots they came from, the last used first."),
    "P4": Rule("Points that return to an expired lot get days of grace, once."),
    "P5": Rule("A hold ends once: captured, released or timed out."),
    "P6": Rule("Points that come in pay debt first; those whose last day is over expire instead."),
    "P7": Rule("An order uses points of what it names, which returns the rest, then of lots; what is missing is owed."),
    "P8": Rule("Points used beyond the program's limits are booked as told, with an alarm."),
    "E1": Rule("A lot can be spent to the end of its local day, whether or not a job has run."),
    "E2": Rule("A hold may last longer than its lot; what it then releases expires at once."),
    "E3": Rule("Under sliding expiry each activity moves the last day of all open points."),
    "E4": Rule("A month later is never beyond that month's end."),
    "E5": Rule(
        "No new version moves the day of a granted lot; an adjustment does, by name.",
        "adjustments", "adjustments", partly=True,
    ),
    "E6": Rule("Points that expire first are spent first, plain before grace; those that never expire, last."),
    "E7": Rule("An order's lot day is fixed when it is paid."),
    "D1": Rule("An entry's day is the local date of the business time."),
    "D2": Rule("A day's sign-in is rewarded once."),
    "D3": Rule("Days are local dates: two seconds can be two days, and a day of 23 or 25 hours is one."),
    "D4": Rule("A missed day restarts the streak, unless it is bought."),
    "D5": Rule("Streak steps repeat; a sign-in that arrives late is rewarded and never takes points."),
    "D6": Rule("The profile award is earned when all its fields are first filled together."),
    "O1": Rule("The same event again does nothing; with another payload it is refused."),
    "O2": Rule("Of several reports of a fact the earliest holds; a revision replaces an order's lines."),
    "O3": Rule("A refund that arrives before its order waits for it, and is reported when it waits too long."),
    "O4": Rule("A cancellation after completion reverses everything."),
    "O5": Rule("An order cancelled before it is paid or completed earns nothing and returns its points."),
    "O6": Rule("Any order of arrival leads to the same end."),
    "O7": Rule("Any cut into batches writes the same rows."),
    "O8": Rule("A line is completed when its receipt is reported or when it falls due, and confirms its share."),
    "O9": Rule("A limit on lateness, applied where a fact enters, bounds what a late fact can change."),
    "O10": Rule("Events about an order that contradict each other leave an alarm on it."),
    "O11": Rule("A revision that lowers a line by what was refunded of it is an alarm; both are booked."),
    "O12": Rule("Numbers have bounds where a fact enters; equal ones are the same however spelled."),
    "F1": Rule("Who referred a member is told with the registration or soon after; the first told holds, of two also."),
    "F2": Rule("A referral is due with an order of a least spend, net of points, of a member who had none before."),
    "F3": Rule("A referrer has to be known, and has points for so many referrals a month."),
    "F4": Rule("A referral stands and goes with its order, on both sides."),
    "X1": Rule("Members give points away as far as the program lets them: at once, in a day and in a month."),
    "T1": Rule("An order earns at the tier before its paid time; a tier that arrives late is trued up."),
    "T2": Rule("Tiers are half-open intervals of growth; one order may rise several, with one message."),
    "T3": Rule(
        "Spending and expiring lower no tier; a condition on points counts those earned.",
        "conditions on points", "tiers.ladder[].when.**.points", partly=True,
    ),
    "T4": Rule("An upgrade starts a new validity; meeting the condition again does not.", *_VALIDITY),
    "T5": Rule("At the end of its validity a tier is kept, or drops after days of grace.", *_VALIDITY),
    "T6": Rule("What happened in the window counts, also when it arrives late.", *_VALIDITY),
    "T7": Rule("An override has reason, actor and end; nothing automatic ends it earlier.", "overrides"),
    "T8": Rule("At midnight: confirmations, expiries, and then the mark that the day is closed."),
    "T9": Rule("A tier history is a function of timelines and program alone."),
    "T10": Rule(
        "Who registers or joins is enrolled; who only orders is a member without a gift.",
        "restricted membership", "membership.kind", partly=True,
    ),
    "V1": Rule("Thresholds from the shares to keep.", _EVALUATION),
    "V2": Rule("Shares from the thresholds to keep.", _EVALUATION),
    "V3": Rule("Impossible figures are reported by name.", _EVALUATION),
    "V4": Rule("Quintiles of recency, frequency and amount; ties share a score.", _EVALUATION),
    "V5": Rule("The pyramid, by revenue and by profit with its losses.", _EVALUATION),
    "V6": Rule("Silence: who is at risk, who lapsed, who came back.", _EVALUATION),
    "V7": Rule("Lifetime from churn, and what a member costs to serve.", _EVALUATION),
    "V8": Rule("Presets are target shares.", _EVALUATION),
    "B1": Rule("In common years 29 February is the day that the program names."),
    "B2": Rule("A birthday counts once a year, if it was entered at least 30 days before."),
    "M1": Rule("A merge moves lots, holds, debt and growth; the higher tier stays.", _MERGES),
    "M2": Rule("The merged member is an alias from then on.", _MERGES),
    "M3": Rule("Of two consents the stricter holds.", _MERGES),
    "S1": Rule("One message a member, touchpoint, occasion and channel."),
    "S2": Rule("A promotion needs recorded consent and carries a way out."),
    "S3": Rule(
        "A message that is no longer news is not sent; quiet hours and caps hold.",
        "quiet hours and caps", partly=True
    ),
    "S4": Rule("Members always get a message about debt and downgrades."),
    "S5": Rule("Nothing is sent before its attempt is committed."),
    "S6": Rule("After consent is withdrawn nothing of its class is sent any more."),
    "S7": Rule("A message names the policy that applies, not only the news."),
    "C1": Rule("No clock moves points alone: the present is the database's, and a record from ahead of it waits."),
    "C2": Rule("What falls due is booked day by day; a jump over many days waits for somebody to confirm it."),
    "C3": Rule("A restore begins an epoch: no message of the lost future is booked, what was told is booked again."),
    "Z1": Rule(
        "Of an erased member nothing is booked that is dated up to the erasure, and no command until it registers.",
        "new accounts for later events of an erased member", partly=True,
    ),
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
        yield f"{code:<4}{len(names):>4}  {rule.sentence}{missing}"


def _test_names() -> Iterator[str]:
    for file in sorted(_TESTS.rglob("test_*.py")):
        if file.name not in _OF_THE_MODEL:
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                    yield node.name


if __name__ == "__main__":
    print("rule tests", *listing(), sep="\n")
