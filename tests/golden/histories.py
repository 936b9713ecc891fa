"""Histories as data: programs as documents, events as JSON, commands by their kind. No name of a class is in them.

A step is a list that begins with what it is:

    ["event", now, event]          a CloudEvent comes in
    ["timer", now]                 what is due by then is booked
    [a command, now, …]            a command of the model, its fields in order
    ["batch", [step, …]]           events and commands that are booked together
    ["told", [[now, account, input], …]]  ["asked", now, account, input]  ["deliver", now]  ["sweep", now]
                                   of several accounts: inputs as their canonical arrays, booked together or asked for;
                                   what accounts told each other comes in; what is due by then is booked
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from tests.model import commands
from tests.model.events import Arrival, Timer
from tests.model.model import HistoryStep

DATA: Final = Path(__file__).parent / "data"
HISTORIES: Final = DATA / "histories.json.xz"

_COMMANDS: Final[Mapping[str, type[commands.Command]]] = {
    "hold": commands.Hold,
    "capture": commands.Capture,
    "release": commands.Release,
    "redeem": commands.Redeem,
    "give_back": commands.GiveBack,
    "decide": commands.Decide,
    "make_up": commands.RepairStreak,
    "referred": commands.Referred,
    "send": commands.Send,
    "receive": commands.Receive,
}
_KINDS: Final = {made: kind for kind, made in _COMMANDS.items()}


class History(NamedTuple):
    """What comes in, and under which programs.

    Of `one` member, or of `several` accounts that tell each other; `tiers` as `MemoryLedger` has them.
    """

    flavour: str
    members: Literal["one", "several"]
    tiers: Literal["closed", "given"]
    programs: list[dict[str, Any]]
    steps: list[list[Any]]

    @property
    def inputs(self) -> int:
        """How many events and commands come in, and how often the clock is looked at."""
        return sum(len(step[1]) if step[0] in ("batch", "told") else step[0] != "deliver" for step in self.steps)


def data_of(step: HistoryStep) -> list[Any]:
    """A step of the model as data."""
    match step:
        case Arrival():
            return ["event", step.now, step.event]
        case Timer():
            return ["timer", step.now]
        case _:
            return [_KINDS[type(step)], *step]


def step_of(data: list[Any]) -> HistoryStep:
    """The step that `data_of` wrote."""
    kind, *fields = data
    if kind == "event":
        now, event = fields
        return Arrival(event, now)
    if kind == "timer":
        return Timer(*fields)
    return _COMMANDS[kind](*map(_tuples, fields))


def _tuples(value: Any) -> Any:
    """JSON has lists where the model has tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def read() -> list[History]:
    """The histories that are committed."""
    return [History(**each) for each in read_json(HISTORIES)]


def write(histories: Iterable[History]) -> None:
    """Keep these instead."""
    write_json(HISTORIES, [each._asdict() for each in histories])


def read_json(path: Path) -> Any:
    """A document out of an .xz file."""
    return json.loads(lzma.decompress(path.read_bytes()))


def write_json(path: Path, document: Any) -> None:
    """A document into an .xz file, small."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    path.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
