"""Figures beside their yardsticks: the table people read, and build/bench.json."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing. `value` is the median of `samples` where there are several."""

    name: str
    value: float
    unit: str
    samples: list[float] = field(default_factory=list)
    yardstick: str = ""
    """What it stands beside, measured in the same run."""
    yardstick_value: float | None = None
    ratio: float | None = None
    bar: str = ""
    met: bool | None = None
    """None: a figure without a bar."""

    @staticmethod
    def beside(
        name: str,
        samples: Sequence[float],
        unit: str,
        *,
        yardstick: str,
        yardstick_samples: Sequence[float],
        least: float | None = None,
    ) -> Figure:
        """A rate beside another: the ratio of the medians must be `least` or more."""
        value, other = statistics.median(samples), statistics.median(yardstick_samples)
        ratio = value / other
        bar = "" if least is None else f"ratio ≥ {least:.2f}"
        met = None if least is None else ratio >= least
        return Figure(name, value, unit, list(samples), yardstick, other, ratio, bar, met)

    @staticmethod
    def below(name: str, value: float, unit: str, most: float, samples: Sequence[float] = ()) -> Figure:
        """A figure that must stay below a bar."""
        return Figure(name, value, unit, list(samples) or [value], bar=f"< {most:,.0f}", met=value < most)

    @staticmethod
    def of(name: str, samples: Sequence[float], unit: str) -> Figure:
        """A figure that is told without a bar."""
        return Figure(name, statistics.median(samples), unit, list(samples))


PEERS = (
    ("Formance Ledger", "70–170 transactions a second"),
    ("Blnk", "120–290 transactions a second"),
    ("pgledger", "1,400 transactions a second, 550 on one hot account"),
)
"""What others reach on such a machine; their figures, not measured here."""


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print them: what has a bar or a yardstick first, then what it cost."""
    assessment = [figure for figure in figures if figure.bar or figure.yardstick]
    table = _table("Benchmark", "value", "unit", "yardstick", "its value", "ratio", "bar", "met")
    for figure in assessment:
        table.add_row(
            figure.name,
            number(figure.value),
            figure.unit,
            figure.yardstick,
            "" if figure.yardstick_value is None else number(figure.yardstick_value),
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            figure.bar,
            "" if figure.met is None else "[green]yes[/]" if figure.met else "[red]no[/]",
        )
    others = _table("Beside them", "value", "unit")
    for figure in figures:
        if figure not in assessment:
            others.add_row(figure.name, number(figure.value), figure.unit)
    for each in (table, others):
        if each.row_count:
            console.print(each)
    if any(figure.name == "order_events" for figure in figures):
        console.print("What others reach on such a machine; their figures, not measured here:")
        for name, reached in PEERS:
            console.print(f"  {name}: {reached}")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("figure", no_wrap=True)
    for column in columns:
        right = column in ("value", "its value", "ratio")
        table.add_column(column, justify="right" if right else "left", no_wrap=True)
    return table


def number(value: float) -> str:
    """A value with three or four digits that matter."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def write(figures: Sequence[Figure], path: Path) -> None:
    """Write them as JSON: a list of {name, value, unit, yardstick, yardstick_value, ratio, samples}."""
    kept = ("name", "value", "unit", "yardstick", "yardstick_value", "ratio", "samples")
    rows = [{name: getattr(figure, name) for name in kept} for figure in figures]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(rows)) + b"\n")
