"""O2: an activity earns once for its id."""

from __future__ import annotations

from tests.model.events import d, favourite
from tests.model.program import program
from tests.model.table.case import Case, Then

O2 = [
    Case(
        "O2",
        "a_favourite_told_twice",
        [favourite("f1", d(5)), favourite("f1", d(6), id="again"), Then(earned=2)],
        program(["favourite"]),
    ),
]

CASES = [*O2]
