"""What a program may say that this release does not do yet: refused by name, never ignored.

Whoever builds a part removes its row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from schemas.program.problems import Finding, Path


@dataclass(frozen=True, slots=True)
class NotBuilt:
    """A place of the document at which nothing, or only some values, can be said yet.

    `path` names fields, `[]` stands for each item of a list, `**` for any depth. `built` are the values that work
    there; where it is empty nothing may be said at all. `use` is the way out.
    """

    path: str
    built: tuple[str | int, ...] = ()
    use: str = "leave it out"


BUILT_TOUCHPOINTS: Final = ("joined", "points-earned", "points-confirmed", "clawback-debt", "tier-upgraded")

NOT_BUILT: Final = (
    NotBuilt("membership.kind", ("open",), "use `open`"),
    NotBuilt("membership.condition"),
    NotBuilt("membership.earn_from", ("first_event",), "use `first_event`"),
    NotBuilt("earn[].segment"),
    NotBuilt("earn[].campaign.segment"),
    NotBuilt("adjustments"),
    NotBuilt("tiers.mode", ("upgrade_only",), "use `upgrade_only`"),
    NotBuilt("tiers.growth.counts", ("qualifying_amount",), "use `qualifying_amount`"),
    NotBuilt("tiers.growth.after_days", (0,), "use 0"),
    NotBuilt("tiers.validity"),
    NotBuilt("tiers.grace_days", (0,), "use 0"),
    NotBuilt("tiers.drop"),
    NotBuilt("tiers.tier_on_refund"),
    NotBuilt("tiers.renew_on_requalify"),
    NotBuilt("tiers.ladder[].when.**.points", use="ask for `growth` or `orders`"),
    NotBuilt("benefits"),
    NotBuilt("segments"),
    NotBuilt("touchpoints[].touchpoint", BUILT_TOUCHPOINTS, f"one of {', '.join(BUILT_TOUCHPOINTS)}"),
    NotBuilt("touchpoints[].ways[]", ("inapp", "sms", "email"), "one of inapp, sms, email"),
    NotBuilt("touchpoints[].segment"),
)


def not_built(data: Any) -> Iterator[Finding]:
    """Every place of a document that asks for what is not built."""
    for row in NOT_BUILT:
        for path, value in _places(data, (), row.path.replace("[]", ".[]").split(".")):
            # `on: {activity: …}` is built; its name is a mapping, not a value of the table.
            if _is_empty(value) or (isinstance(value, dict) and row.built) or value in row.built:
                continue
            said = f": {value}" if isinstance(value, str | int) and not isinstance(value, bool) else ""
            name = row.path.replace("[]", "").replace(".**", "")
            yield Finding(path, f"`{name}{said}` is not built yet in this release", row.use)


def _is_empty(value: Any) -> bool:
    """Whether nothing is said, as where a published document spells out its defaults."""
    if isinstance(value, dict):
        return all(map(_is_empty, value.values()))
    return value is None or value == []


def _places(value: Any, path: Path, steps: list[str]) -> Iterator[tuple[Path, Any]]:
    """What a document says at a place of the table, with its path."""
    if not steps:
        yield path, value
    elif steps[0] == "[]" and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, (*path, index), steps[1:])
    elif steps[0] == "**":
        yield from _places(value, path, steps[1:])
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for step, item in inner:
            yield from _places(item, (*path, step), steps)
    elif isinstance(value, dict) and steps[0] in value:
        yield from _places(value[steps[0]], (*path, steps[0]), steps[1:])
