"""The process of a service: command line, worker processes, signals, the graceful stop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from services.kit.health import State
from services.kit.postgres import Pool
from services.kit.settings import Settings

S = TypeVar("S", bound=Settings)


class Part(Protocol):
    """What runs in a worker. `start` returns at once and connects in the background; `stop` loses nothing."""

    @property
    def name(self) -> str:
        """`api`, `consumer`, `relay`, `sweeper`, or another; `--parts` names which of these four run."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def state(self) -> State: ...


class Worker(Generic[S]):
    """One worker process: what the service's `wire` builds its parts from."""

    settings: S
    number: int
    """0, 1, … among the service's workers."""
    pool: Pool
    """Created, connecting when first used."""


Command = Callable[[S, list[str]], Awaitable[int]]


@dataclass(frozen=True)
class Service(Generic[S]):
    """What `main` needs to know of a service."""

    name: str
    package: str
    """Holds `migrations/`."""
    settings: type[S]
    wire: Callable[[Worker[S]], Sequence[Part]]
    """Builds the parts of a worker, in the order in which they start; they stop in reverse."""
    commands: Mapping[str, Command[S]] = field(default_factory=dict)
    """Further commands: name → async function of settings and the arguments after the name; its docstring's first
    line is the help, its answer the exit code."""
    redrives: Sequence[str] = ()
    """The topics whose dead letters `redrive` may publish again."""


def main(service: Service[S], argv: Sequence[str] | None = None) -> int:
    """`serve`, `migrate`, `redrive` and the service's own commands; answers the exit code."""
    raise NotImplementedError
