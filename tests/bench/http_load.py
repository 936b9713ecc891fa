"""Requests over kept connections with as little of a client as can be: so that the server is what is measured."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Load:
    """What a server answered under load."""

    per_second: float
    client_busy: float
    """The share of its time for which the busiest client process was on a processor: below 1, or it is the limit."""


def load(url: str, requests: Sequence[bytes], *, connections: int, seconds: float) -> Load:
    """Send requests at random over so many connections, each as soon as the last is answered.

    Raises BrokenError if any answer is not a 200.
    """
    forking = multiprocessing.get_context("fork")
    pipes: list[Pipe] = []
    children = []
    for number in range(PROCESSES):
        ours, theirs = forking.Pipe(duplex=False)
        share = connections // PROCESSES + (number < connections % PROCESSES)
        child = forking.Process(target=_child, args=(url, requests, share, seconds, theirs), daemon=True)
        child.start()
        theirs.close()
        children.append(child)
        pipes.append(ours)
    told: list[tuple[int, float, str]] = []
    for pipe, child in zip(pipes, children, strict=True):
        if pipe.poll(seconds + WARM_UP_S + 3 * _ANSWER_S):
            told.append(pipe.recv())
        child.terminate()
        child.join()
    if len(told) < PROCESSES:
        raise BrokenError(f"{url} does not answer")
    if wrong := next((wrong for _, _, wrong in told if wrong), ""):
        raise BrokenError(f"{url} answered {wrong}")
    return Load(sum(count for count, _, _ in told) / seconds, max(busy for _, busy, _ in told))


def _child(url: str, requests: Sequence[bytes], connections: int, seconds: float, pipe: Pipe) -> None:
    try:
        pipe.send(uvloop.run(_load(url, requests, connections, seconds)))
    except Exception as error:
        pipe.send((0, 0.0, repr(error)))


async def _load(url: str, requests: Sequence[bytes], connections: int, seconds: float) -> tuple[int, float, str]:
    count = 0
    wrong = ""
    counting = True

    async def ask(client: Client) -> None:
        nonlocal count, wrong
        while counting and not wrong:
            status, body = await client.send(random.choice(requests))
            count += 1
            if status != 200:
                wrong = f"{status}: {body[:200]!r}"

    clients = [await connect(url) for _ in range(connections)]
    asking = [asyncio.create_task(ask(client)) for client in clients]
    await asyncio.sleep(WARM_UP_S)
    before, began, cpu_began = count, time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    answered, took = count - before, time.perf_counter() - began
    busy = (time.process_time() - cpu_began) / took
    counting = False
    async with asyncio.timeout(_ANSWER_S):
        await asyncio.gather(*asking)
    for client in clients:
        client.close()
    return round(answered * seconds / took), busy, wrong
