"""Requests over kept connections with as little of a client as can be: so that the server is what is measured."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection as Pipe
from typing import Final, cast
from urllib.parse import urlsplit

import uvloop

from tests.bench.system import BrokenError

PROCESSES: Final = 2
WARM_UP_S: Final = 1.0
_ANSWER_S: Final = 10.0


class Client(asyncio.Protocol):
    """One kept connection, one request at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def connection_lost(self, error: Exception | None) -> None:
        """The request in flight has failed."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        """A part of an answer; all answers carry their length."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._answer is None:
            return
        head = self._buffer[:end].lower()
        place = head.find(b"content-length:")
        length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return
        body, self._buffer = self._buffer[end + 4 : end + 4 + length], b""
        answer, self._answer = self._answer, None
        if not answer.done():
            answer.set_result((int(head[9:12]), body))

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        assert self._transport is not None
        answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._answer = answer
        self._transport.write(request)
        return await answer

    def close(self) -> None:
        """Disconnects."""
        if self._transport is not None:
            self._transport.close()


async def connect(url: str) -> Client:
    """A connection to `http://host:port`."""
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    _, client = await asyncio.get_running_loop().create_connection(Client, address.hostname, address.port)
    return client


def get(path: str, token: str) -> bytes:
    """The bytes of a request with a bearer token."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def post(path: str, token: str, key: str, body: bytes) -> bytes:
    """The bytes of a command."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nIdempotency-Key: {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass(frozen=True, slots=True)
class Load:
    """What a server answered under load."""

    per_second: float
    client_busy: float
    """The share of its time for which the busiest client process was on a processor: below 1, or it is the limit."""
    milliseconds: Sequence[float]
    """How long each answer took, sorted; at a rate, from when it was due to be asked."""

    def percentile(self, share: float) -> float:
        """The milliseconds that this share of the answers took at most."""
        return self.milliseconds[min(len(self.milliseconds) - 1, int(len(self.milliseconds) * share))]


@dataclass(frozen=True, slots=True)
class Storm:
    """How to ask: `request` makes the next request, `status` is what each must be answered with.

    Without a `rate` each connection asks as soon as it was answered, else so many a second are asked in all.
    """

    request: Callable[[], bytes]
    connections: int
    seconds: float
    status: int = 200
    rate: float | None = None


def load(url: str, storm: Storm) -> Load:
    """Ask a server from two processes. Raises BrokenError if any answer has another status than it must."""
    forking = multiprocessing.get_context("fork")
    pipes: list[Pipe] = []
    children = []
    for number in range(PROCESSES):
        ours, theirs = forking.Pipe(duplex=False)
        share = storm.connections // PROCESSES + (number < storm.connections % PROCESSES)
        mine = replace(storm, connections=share, rate=None if storm.rate is None else storm.rate / PROCESSES)
        child = forking.Process(target=_child, args=(url, mine, theirs), daemon=True)
        child.start()
        theirs.close()
        children.append(child)
        pipes.append(ours)
    reports: list[tuple[list[float], float, str]] = []
    for pipe, child in zip(pipes, children, strict=True):
        if pipe.poll(storm.seconds + WARM_UP_S + 3 * _ANSWER_S):
            reports.append(pipe.recv())
        child.terminate()
        child.join()
    if len(reports) < PROCESSES:
        raise BrokenError(f"{url} does not answer")
    if wrong := next((wrong for _, _, wrong in reports if wrong), ""):
        raise BrokenError(f"{url} answered {wrong}")
    took = sorted(1000 * seconds for each, _, _ in reports for seconds in each)
    return Load(len(took) / storm.seconds, max(busy for _, busy, _ in reports), took)


def _child(url: str, storm: Storm, pipe: Pipe) -> None:
    try:
        random.seed(multiprocessing.current_process().name)
        pipe.send(uvloop.run(_load(url, storm)))
    except Exception as error:
        pipe.send(([], 0.0, repr(error)))


async def _load(url: str, storm: Storm) -> tuple[list[float], float, str]:
    took: list[float] = []
    wrong = ""
    ends = time.perf_counter() + WARM_UP_S + storm.seconds
    begins = ends - storm.seconds
    due = itertools.count()

    async def ask(client: Client) -> None:
        nonlocal wrong
        while not wrong:
            asked = time.perf_counter()
            if storm.rate is not None:
                asked = begins - WARM_UP_S + next(due) / storm.rate
                if (early := asked - time.perf_counter()) > 0:
                    await asyncio.sleep(early)
            if asked >= ends:
                return
            status, body = await client.send(storm.request())
            if begins <= asked:
                took.append(time.perf_counter() - asked)
            if status != storm.status:
                wrong = f"{status}: {body[:200]!r}"

    clients = [await connect(url) for _ in range(storm.connections)]
    asking = [asyncio.create_task(ask(client)) for client in clients]
    await asyncio.sleep(max(0.0, begins - time.perf_counter()))
    cpu_began = time.process_time()
    await asyncio.sleep(max(0.0, ends - time.perf_counter()))
    busy = (time.process_time() - cpu_began) / storm.seconds
    async with asyncio.timeout(3 * _ANSWER_S):
        await asyncio.gather(*asking)
    for client in clients:
        client.close()
    return took, busy, wrong
