"""The report of a run: figures, a few members as the HTTP APIs show them, and the invariants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from deploy.shop.environment import Stack
from deploy.shop.figures import Figures, figures
from deploy.shop.invariants import Verdict, verify_all
from deploy.shop.outcome import Outcome, outcome

_HTTP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class MemberView:
    """A member as the HTTP APIs answer."""

    member_id: str
    balance: dict[str, Any]
    tier: dict[str, Any]
    inbox: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Report:
    """The results of everything that was published to a stack."""

    figures: Figures
    outcome: Outcome
    members: list[MemberView]
    verdicts: list[Verdict]

    @property
    def holds(self) -> bool:
        """Whether the totals reconcile, and every invariant of every service was checked and holds."""
        return self.figures.granted == self.figures.accounted and all(verdict.holds for verdict in self.verdicts)

    @classmethod
    async def of(cls, stack: Stack) -> Report:
        """The report of a stack at rest; httpx.HTTPError when a service does not answer."""
        totals = await figures(stack.database_url, stack.kafka_bootstrap_servers)
        headers = {"Authorization": f"Bearer {stack.token}"}
        async with httpx.AsyncClient(headers=headers, timeout=_HTTP_SECONDS) as http:
            members = [await _view(http, stack, member_id) for member_id in totals.noteworthy]
        ended = await outcome(stack.database_url, stack.kafka_bootstrap_servers)
        return cls(totals, ended, members, await verify_all(stack))

    def as_json(self) -> dict[str, Any]:
        """Figures and invariants as JSON."""
        return {
            **self.figures.as_json(),
            "fingerprints": self.outcome.fingerprints(),
            "invariants": {verdict.service: {"holds": verdict.holds, **verdict.answer} for verdict in self.verdicts},
        }


async def _view(http: httpx.AsyncClient, stack: Stack, member_id: str) -> MemberView:
    async def get(url: str) -> dict[str, Any]:
        response = await http.get(url)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer

    inbox = await get(f"{stack.notifier_url}/v1/members/{member_id}/inbox")
    return MemberView(
        member_id,
        await get(f"{stack.ledger_url}/v1/members/{member_id}/balance"),
        await get(f"{stack.tiering_url}/v1/members/{member_id}/tier"),
        inbox["messages"],
    )


def show(report: Report, stack: Stack, console: Console) -> None:
    """Print the report for people."""
    totals = report.figures
    known = totals.inputs.get("known", 0)
    console.print()
    console.print(
        f"[bold]{totals.members:,} members, {totals.orders:,} orders[/]; {sum(totals.inputs.values()):,} inputs "
        f"journalled, {known:,} of them known already, {totals.parked_refunds:,} refunds parked, "
        f"{sum(totals.dead_letters.values()):,} dead letters."
    )
    console.print(_two_columns("Points moved", totals.points))
    _reconcile(totals, console)
    if totals.holds:
        console.print(_two_columns("Holds by state", totals.holds))
    console.print(_two_columns("Members by tier", totals.tiers))
    if totals.dead_letters:
        console.print(_two_columns("Dead letters by reason", totals.dead_letters))
    console.print(_messages(totals.messages))
    for member in report.members:
        console.print(_member(member))
    console.print(_invariants(report.verdicts))
    _addresses(report, stack, console)


def _reconcile(totals: Figures, console: Console) -> None:
    """Both sides of the books: the points that the program granted, and where they are now."""

    def side(**terms: int) -> str:
        return " ".join(f"{'-' if value < 0 else '+'} {abs(value):,} {name}" for name, value in terms.items())

    moved, now = Counter(totals.points), totals.balances
    agrees = "[green]=[/]" if totals.granted == totals.accounted else "[red]IS NOT[/]"
    granted = side(issued=moved["issued"], clawed_back=-moved["clawed_back"], forgiven=-moved["forgiven"])
    left = side(
        available=now["available"],
        pending=now["pending"],
        held=now["held"],
        owed=-now["debt"],
        used=moved["redeemed"] - moved["returned"],
        expired=moved["expired"] - moved["forgiven"],
    )
    lines = (granted, f"= [bold]{totals.granted:,}[/] {agrees} {totals.accounted:,} =", left)
    console.print("  " + "\n  ".join(line.replace("_", " ") for line in lines), soft_wrap=True)


def _two_columns(title: str, rows: dict[str, int]) -> Table:
    table = Table("", "", title=title, show_header=False, title_justify="left")
    table.columns[1].justify = "right"
    for name, value in rows.items():
        table.add_row(name.replace("_", " "), f"{value:,}")
    return table


def _messages(messages: dict[str, dict[str, int]]) -> Table:
    table = Table("touchpoint", "way", "decision", "messages", title="Messages", title_justify="left")
    table.columns[3].justify = "right"
    for place, decisions in messages.items():
        touchpoint, way = place.split(" ")
        for decision, count in decisions.items():
            table.add_row(touchpoint, way, decision, f"{count:,}")
    return table


def _member(member: MemberView) -> Table:
    balance, tier = member.balance, member.tier
    table = Table("", "", title=f"Member {member.member_id}", show_header=False, title_justify="left")
    table.add_row(
        "balance",
        f"{balance['available']:,} available, {balance['pending']:,} pending, {balance['debt']:,} owed",
    )
    table.add_row("tier", f"{tier['tier']} with a growth value of {tier['growth_value']}, {tier['orders']} orders")
    for message in member.inbox[:3]:
        table.add_row("inbox", str(message.get("text") or message.get("title")))
    return table


def _invariants(verdicts: list[Verdict]) -> Table:
    table = Table("service", "holds", "checked", title="Invariants", title_justify="left")
    for verdict in verdicts:
        holds = "[green]yes[/]" if verdict.holds else "[red]NO[/]"
        table.add_row(verdict.service, holds, "\n".join(_checked(verdict.answer)))
    return table


def _checked(answer: dict[str, Any]) -> Iterator[str]:
    """What a verdict counted and what it found broken, in short; its JSON has the rest."""
    counts = (f"{count:,} {name}" for name, count in answer.items() if type(count) is int and name != "broken")
    yield ", ".join(counts)
    if checks := answer.get("checks"):
        yield f"{sum(not broken for broken in checks.values())} of {len(checks)} checks hold: {', '.join(checks)}"
    if error := answer.get("error"):
        yield str(error)
    for example in answer.get("examples", ()):
        yield f"broken: {example}"


def _addresses(report: Report, stack: Stack, console: Console) -> None:
    member_id = report.members[0].member_id if report.members else "MEMBER"
    console.print("\nTry it (after [bold]source .local/env[/]):")
    for variable, path in (
        ("LEDGER_URL", f"/v1/members/{member_id}/balance"),
        ("LEDGER_URL", f"/v1/members/{member_id}/entries"),
        ("TIERING_URL", f"/v1/members/{member_id}/tier"),
        ("NOTIFIER_URL", f"/v1/members/{member_id}/inbox"),
    ):
        console.print(
            f'  curl -H "Authorization: Bearer $SHOP_TOKEN" "${variable}{path}"', soft_wrap=True, highlight=False
        )
    for name, url in (("ledger", stack.ledger_url), ("tiering", stack.tiering_url), ("notifier", stack.notifier_url)):
        console.print(f"  {name} API: {url}/docs", soft_wrap=True, highlight=False)
