"""The process of a service: command line, worker processes, signals, the graceful stop.

A parent imports everything, freezes the garbage collector's generations (what is imported is never collected and its
pages stay shared), forks the workers and waits. SIGTERM or SIGINT ends the workers within 10 seconds: they stop
accepting requests, finish the batch in flight, flush the outbox as far as time allows, and close. When a worker dies,
the parent ends the others and exits non-zero, so that the service's supervisor starts it anew. When the parent dies
(kill -9), the workers notice it and stop too: no process is left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, NoReturn, TypeVar

import uvloop
from pydantic import ValidationError

from schemas.topics import ALL, Topic
from services.kit import log, migrate, redrive
from services.kit.consumer import Consumer
from services.kit.database_clock import shift_clock
from services.kit.health import BrokerCheck, database_check
from services.kit.outbox_watch import LOOK_SECONDS, OutboxWatch
from services.kit.part import Part, State
from services.kit.postgres import Prepare, new_pool, new_reads_pool
from services.kit.pulse import REMEDY
from services.kit.settings import Settings
from services.kit.worker import Worker, bind
from services.kit.worker_status import WorkerStatus, shared_directory

_log = log.get(__name__)
S = TypeVar("S", bound=Settings)
_HANDLED: Final = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}

PARTS: Final = ("api", "consumer", "relay", "sweeper")
"""The parts that `--parts` chooses from. A service's other parts, such as the program follower, always run."""
STOP_SECONDS: Final = 9.0
"""A worker's own limit for its stop; after a second more the parent kills it."""
PORT_SECONDS: Final = 12.0
"""How long a start waits for its port, which a service that is ending may still hold."""
GC_THRESHOLDS: Final = (50_000, 50, 50)
"""The collector looks for cycles, which batches do not make; the defaults would run it within every batch."""


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
    """Further commands: name → async function of the settings and the arguments after the name. The first line of
    its docstring is the help, its result the exit code."""
    topics: Sequence[Topic] = ALL
    """The topics that must be as the contracts say for the service to be ready."""
    prepare: Prepare | None = None
    """Runs once on each new connection of the pool (type codecs)."""


def main(service: Service[S], argv: Sequence[str] | None = None) -> int:
    """Runs `serve`, `migrate`, `redrive` or one of the service's own commands; answers the exit code."""
    arguments, rest = _parser(service).parse_known_args(argv)
    own = {**service.commands, "shift-clock": shift_clock}
    if rest and arguments.command not in own:
        _parser(service).error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        settings = service.settings()
    except ValidationError as wrong:
        for error in wrong.errors():
            name = ".".join(map(str, error["loc"])).upper()
            sys.stderr.write(f"{name}: {error['msg']}\n")
        return 2
    log.configure(service.name, settings.log_level)
    if arguments.command == "serve":
        overrides = {"workers": arguments.workers, "http_port": arguments.port, "http_host": arguments.host}
        settings = settings.model_copy(update={name: value for name, value in overrides.items() if value is not None})
        return _serve(service, settings, frozenset(arguments.parts))
    if arguments.command == "migrate":
        return uvloop.run(_migrate(service, settings))
    if arguments.command == "redrive":
        return uvloop.run(redrive.run(settings, redrive.Choice.of(arguments)))
    return uvloop.run(_run_command(own[arguments.command], settings, rest))


def _parser(service: Service[Any]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {service.package}")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="run the service until SIGTERM")
    serve.add_argument("--parts", type=_parts, default=PARTS, help=f"which of {','.join(PARTS)} (default: all)")
    serve.add_argument("--workers", type=int, help="worker processes, each with all these parts (default: WORKERS)")
    serve.add_argument("--port", type=int, help="the API's port (default: HTTP_PORT)")
    serve.add_argument("--host", help="the API's address (default: HTTP_HOST)")
    commands.add_parser("migrate", help="bring the database's schema, roles and grants up to this release")
    again = commands.add_parser("redrive", help="publish the originals of dead letters again, each once")
    again.add_argument(
        "--reason", action="append", default=[], help="only dead letters of this reason (may be repeated)"
    )
    again.add_argument("--topic", action="append", default=[], help="only records of this topic (may be repeated)")
    again.add_argument("--limit", type=int, default=None, help="at most so many")
    again.add_argument("--because", default="", help="why, for the audit; who is ACTOR, or the system's user")
    for name, command in {**service.commands, "shift-clock": shift_clock}.items():
        summary = (command.__doc__ or "").strip().partition("\n")[0]
        commands.add_parser(name, help=summary, add_help=False)
    return parser


def _parts(text: str) -> tuple[str, ...]:
    chosen = tuple(part for part in text.split(",") if part)
    if not chosen or not set(chosen) <= set(PARTS):
        raise argparse.ArgumentTypeError(f"choose from {', '.join(PARTS)}")
    return chosen


async def _migrate(service: Service[S], settings: S) -> int:
    try:
        done = await migrate.migrate(settings, service.package)
    except migrate.MigrationError as wrong:
        sys.stderr.write(f"{wrong}\n")
        return 1
    sys.stdout.write(f"{len(done)} migrations applied.\n" if done else "Nothing to migrate.\n")
    return 0


async def _run_command(command: Command[S], settings: S, rest: list[str]) -> int:
    return await command(settings, rest)


# ── the parent ───────────────────────────────────────────────────────────────────────────────────────────────────


def _serve(service: Service[S], settings: S, parts: frozenset[str]) -> int:
    if "api" in parts and (missing := settings.missing_for_tokens()):
        sys.stderr.write(
            f"{' and '.join(missing)} must say whose tokens are accepted, and for whom they are issued. "
            "On a developer's machine DEVELOPMENT=1 goes without.\n"
        )
        return 2
    try:
        # Held until the end, though it never listens: it keeps the port for the workers.
        reserved = _reserve(settings.http_host, settings.http_port) if "api" in parts else None
    except OSError as taken:
        sys.stderr.write(f"{settings.http_host}:{settings.http_port} cannot be listened on: {taken.strerror}.\n")
        return 1
    port = reserved.getsockname()[1] if reserved is not None else 0
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    gc.collect()
    gc.freeze()
    with shared_directory(service.name) as directory:
        children = _fork(
            [
                _WorkerProcess(
                    service, settings, parts, number, WorkerStatus(directory, number, settings.workers), port
                )
                for number in range(settings.workers)
            ]
        )
        _log.info("serving", workers=settings.workers, port=port, parts=sorted(parts))
        return _supervise(children)


def _fork(processes: Sequence[_WorkerProcess[Any]]) -> set[int]:
    """Starts the worker processes; answers their ids. A pipe tells them when the parent is gone: only the parent has
    its other end open."""
    parent_lives, our_end = os.pipe()
    children: set[int] = set()
    for process in processes:
        pid = os.fork()
        if pid == 0:
            os.close(our_end)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent forwards it
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
            _run_worker(process, parent_lives)
        children.add(pid)
    os.close(parent_lives)
    return children


def _supervise(children: set[int]) -> int:
    """Waits for the workers; ends them all on a signal or when one has died. Answers the exit code."""
    code = 0
    deadline: float | None = None
    while children:
        got = signal.sigtimedwait(_HANDLED, 0.5)
        if got is not None and got.si_signo in (signal.SIGTERM, signal.SIGINT) and deadline is None:
            _log.info("stopping")
            deadline = _end(children)
        for pid, exit_code in _ended(children):
            if exit_code != 0 or deadline is None:
                code = 1
                _log.error("worker_died", pid=pid, exit_code=exit_code)
            if deadline is None:
                deadline = _end(children)
        if deadline is not None and time.monotonic() > deadline:
            code = 1
            for pid in children:
                _log.error("worker_killed", pid=pid)
            _send_signal(children, signal.SIGKILL)
            deadline = time.monotonic() + 60
    return code


def _end(children: set[int]) -> float:
    """Asks the workers to stop; answers when they will be killed if they have not."""
    _send_signal(children, signal.SIGTERM)
    return time.monotonic() + STOP_SECONDS + 0.5


def _ended(children: set[int]) -> list[tuple[int, int]]:
    """Takes the workers that have ended out of `children`; answers the process id and exit code of each."""
    ended = []
    for pid in list(children):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            children.discard(pid)
            ended.append((pid, os.waitstatus_to_exitcode(status)))
    return ended


def _send_signal(children: set[int], number: signal.Signals) -> None:
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _reserve(host: str, port: int) -> socket.socket:
    """Holds the port for the workers. Raises OSError if another process listens there, which sharing would hide."""
    if port:
        waited_until = time.monotonic() + PORT_SECONDS
        while True:
            probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
                break
            except OSError:
                if time.monotonic() > waited_until:
                    raise
                time.sleep(0.1)
            finally:
                probe.close()
    return bind(host, port)


# ── a worker ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _WorkerProcess(Generic[S]):
    """What one worker process has to run."""

    service: Service[S]
    settings: S
    parts: frozenset[str]
    number: int
    status: WorkerStatus
    port: int


def _run_worker(process: _WorkerProcess[Any], parent_lives: int) -> NoReturn:
    """Runs a worker and ends its process."""
    code = 1
    try:
        log.configure(process.service.name, process.settings.log_level, worker=process.number)
        gc.set_threshold(*GC_THRESHOLDS)
        uvloop.run(_work(process, parent_lives))
        code = 0
    except BaseException:
        _log.exception("worker_failed")
    finally:
        sys.stderr.flush()
        os._exit(code)  # skips the clean-up that is the parent's


async def _work(process: _WorkerProcess[Any], parent_lives: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(parent_lives, stop.set)  # its end of file says that the parent is gone
    async with running(
        process.service,
        process.settings,
        process.parts,
        number=process.number,
        status=process.status,
        port=process.port,
    ):
        await stop.wait()
        loop.remove_reader(parent_lives)


class Running(contextlib.AbstractAsyncContextManager["Running"]):
    """The parts of one worker, started on entry and stopped in reverse on exit."""

    def __init__(self, parts: Sequence[Part], worker: Worker[Any], broker: BrokerCheck) -> None:
        self.parts: Final = parts
        self.worker: Final = worker
        self._broker = broker

    async def __aenter__(self) -> Running:
        for part in self.parts:
            await part.start()
        await self.worker.health.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                for part in reversed(self.parts):
                    await part.stop()
                await self.worker.health.stop()
                await self._broker.close()
                await self.worker.close()
        except TimeoutError:
            # What was not finished was not committed; the next start does it again.
            _log.warning("stop_cut_short")
            self.worker.terminate()
        _log.info("stopped")


@contextlib.asynccontextmanager
async def running(
    service: Service[S],
    settings: S,
    parts: frozenset[str] = frozenset(PARTS),
    *,
    number: int = 0,
    status: WorkerStatus | None = None,
    port: int | None = None,
) -> Any:
    """Runs a worker's parts inside this process, as a worker process does, and tests."""
    pool = await new_pool(settings, prepare=service.prepare)
    reads = await new_reads_pool(settings, prepare=service.prepare)
    worker = Worker(settings, pool, reads, number=number, status=status, port=port)
    broker = BrokerCheck(settings, service.topics)
    worker.health.add("database", database_check(pool, service.package, settings.service), every_seconds=2.0)
    worker.health.add("brokers", broker, every_seconds=10.0)
    worker.health.add("outbox", OutboxWatch(settings, pool), every_seconds=LOOK_SECONDS)
    chosen: list[Part] = []
    for part in (*service.wire(worker), worker.clock):
        if part.name in PARTS and part.name not in parts:
            if isinstance(part, Consumer):
                part.offer_all_shards()
            continue
        chosen.append(part)
        worker.health.add(part.name, _state_of(part))
    async with Running(chosen, worker, broker) as entered:
        yield entered


def _state_of(part: Part) -> Callable[[], Awaitable[State]]:
    """What a part says, unless its task has ended or hangs, of which the part itself may know nothing."""

    async def state() -> State:
        said = part.state()
        trouble = part.pulse.trouble()
        if not trouble or not said.ok:
            return said
        return State(False, trouble, REMEDY, said.figures, serves=said.can_serve)

    return state
