"""What the store has read of an account for the fold, and what the fold still needs."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.kit.calendar import Day, Micros
from services.ledger.domain.state.lots import LotRow


@dataclass(slots=True)
class Needs:
    """Keys of one account that have to be read.

    `lines` are (order, version of its lines); `families` are days of lots, each with the grace lots made of it.
    `due_until` asks for the orders that fall due by an instant, `paid_after` for those paid after one.
    """

    orders: set[str] = field(default_factory=set)
    lines: set[tuple[str, int]] = field(default_factory=set)
    facts: set[str] = field(default_factory=set)
    spendable: bool = False
    families: set[Day] = field(default_factory=set)
    due_until: Micros | None = None
    successes: bool = False
    paid_after: Micros | None = None


class Missing(Exception):
    """The fold needs keys that were not read yet."""

    def __init__(self, needs: Needs) -> None:
        super().__init__(needs)
        self.needs = needs


@dataclass(slots=True)
class Success:
    """When an order was successful, in business time; `until` is `NOT_YET` while it still is."""

    order: str
    paid_at: Micros
    since: Micros
    until: Micros


@dataclass(slots=True)
class Loaded:
    """What the store has read of one account. A key that is present with None is known not to exist."""

    orders: dict[str, bytes | None] = field(default_factory=dict)
    lines: dict[tuple[str, int], bytes] = field(default_factory=dict)
    facts: dict[str, bytes | None] = field(default_factory=dict)
    spendable: list[LotRow] | None = None
    families: dict[Day, list[LotRow]] = field(default_factory=dict)
    due_until: Micros | None = None
    due: list[tuple[str, Micros]] = field(default_factory=list)
    due_later: tuple[Micros, str] | None = None
    successes: list[Success] | None = None
    paid_after: Micros | None = None
    paid_later: list[tuple[str, Micros]] = field(default_factory=list)
