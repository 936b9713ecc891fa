"""What callers without a token can cost a service: bodies, headers, dribbling, connections, requests in flight."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from deploy.local.tokens import Signer
from services.kit import http_protocol, limits
from services.kit.limits import limited
from services.kit.problem import Problem
from tests.greeter.service import GreeterSettings
from tests.integration.kit_process import Process, served
from tests.integration.kit_support import eventually
from tests.sharing import SLOWER

MIB = 1024 * 1024
PATH = "/v1/members/m-1/hellos"


@asynccontextmanager
async def api_alone(directory: Path, port: int, signer: Signer, **environment: Any) -> AsyncIterator[Process]:
    """A greeter whose only part is its API: it needs no servers to turn callers away."""
    settings = GreeterSettings(
        database_url=SecretStr("postgresql://127.0.0.1:1/none"), kafka_bootstrap_servers="127.0.0.1:1"
    )
    async with served(
        settings, port, directory, "--parts", "api", jwks_file=signer.jwks_file, **environment
    ) as process:

        async def alive() -> bool:
            with suppress(httpx.TransportError):
                return (await process.get("/healthz")).status_code == 200
            return False

        await eventually(alive)
        yield process


@pytest.fixture
async def api(tmp_path: Path, unused_port: int, signer: Signer) -> AsyncIterator[Process]:
    async with api_alone(tmp_path, unused_port, signer) as process:
        yield process


async def connected(process: Process) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(process.url.rpartition(":")[2]))


def head(*lines: str) -> bytes:
    return "\r\n".join([f"POST {PATH} HTTP/1.1", "Host: greeter", *lines, "", ""]).encode()


async def sent(process: Process, begin: bytes, piece: bytes = b"", pieces: int = 0) -> tuple[int, dict[str, Any], int]:
    """(status, problem document, bytes that were taken) of what is written as fast as it is taken."""
    reader, writer = await connected(process)
    taken = 0

    async def write() -> None:
        nonlocal taken
        with suppress(OSError):
            writer.write(begin)
            for _ in range(pieces):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
                taken += len(piece)

    async def read() -> tuple[int, dict[str, Any]]:
        status = int((await reader.readline()).split()[1])
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return status, json.loads(await reader.readexactly(length))

    reading = asyncio.create_task(read())  # from the beginning: a stream that was reset gives nothing any more
    writing = asyncio.create_task(write())
    try:
        async with asyncio.timeout(60):
            status, document = await reading
            await writing
            with suppress(OSError):
                assert await reader.read() == b""  # it is closed
    finally:
        reading.cancel()
        writing.cancel()
        writer.close()
    return status, document, taken


def memory(process: Process) -> int:
    return max(worker.memory_info().rss for worker in process.workers())


async def test_mend_c02_eight_bodies_of_8_mb_without_a_token_cost_next_to_nothing(api: Process) -> None:
    before, slowest = memory(api), 0.0
    asked = asyncio.gather(*[sent(api, head(f"Content-Length: {8 * MIB}"), b"[" * MIB, 8) for _ in range(8)])
    while not asked.done():
        began = time.monotonic()
        assert (await api.get("/healthz")).status_code == 200
        slowest = max(slowest, time.monotonic() - began)
    for status, document, _ in await asked:
        assert (status, document["type"]) == (401, "urn:loyalty:problem:unauthenticated")
    assert slowest < 0.5 * SLOWER
    assert memory(api) - before < 30 * MIB


async def test_mend_c02_a_short_body_that_was_refused_leaves_its_connection_to_the_next_request(api: Process) -> None:
    reader, writer = await connected(api)
    async with asyncio.timeout(10):
        writer.write(head("Content-Length: 2"))
        assert b"401" in await reader.readline()
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert b"connection: close" not in answer
        await reader.readexactly(int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        writer.write(b"{}" + b"GET /healthz HTTP/1.1\r\nHost: greeter\r\n\r\n")
        assert b"200" in await reader.readline()
    writer.close()


async def test_mend_c02_a_long_body_that_was_refused_ends_its_connection_and_says_so(api: Process) -> None:
    reader, writer = await connected(api)
    async with asyncio.timeout(10):
        writer.write(head(f"Content-Length: {MIB}"))
        assert b"401" in await reader.readline()
        assert b"connection: close" in (await reader.readuntil(b"\r\n\r\n")).lower()
    writer.close()


async def test_mend_c02_a_body_has_at_most_64_kib_whatever_it_says_of_its_length(api: Process, signer: Signer) -> None:
    token = f"Authorization: Bearer {signer.token()}"
    status, document, _ = await sent(api, head(token, f"Content-Length: {64 * 1024 + 1}"))
    assert (status, document["detail"]) == (413, "A body has at most 65536 bytes here.")
    chunk = b"%x\r\n%s\r\n" % (16 * 1024, b" " * 16 * 1024)
    status, _, taken = await sent(api, head(token, "Transfer-Encoding: chunked"), chunk, 1024)
    assert status == 413
    assert taken <= http_protocol.LINGER_BYTES + 4 * MIB


@pytest.mark.parametrize("lines", ["one", "many"])
async def test_mend_c02_193_mb_of_headers_are_refused_at_32_kib(lines: str, api: Process) -> None:
    before = memory(api)
    piece = b"x" * MIB if lines == "one" else b"x-filler: %s\r\n" % (b"y" * 1000) * 1024
    begin = f"POST {PATH} HTTP/1.1\r\nHost: greeter\r\nx-long: ".encode()
    status, document, taken = await sent(api, begin, piece, 193)
    assert (status, document["type"]) == (431, "urn:loyalty:problem:headers-too-large")
    assert taken <= http_protocol.LINGER_BYTES + 8 * MIB, "the rest was not taken: buffers of two sockets apart"
    assert memory(api) - before < 30 * MIB


async def test_mend_c02_headers_of_32_kib_in_one_read_are_counted_exactly(api: Process) -> None:
    async def status(size: int) -> int:
        answer = await api.get("/healthz", **{"x-filler": "y" * size})
        return answer.status_code

    assert await status(31 * 1024) == 200
    assert await status(33 * 1024) == 431


async def test_mend_c02_300_requests_sent_by_half_end(api: Process) -> None:
    half = f"POST {PATH} HTTP/1.1\r\nHost: gre".encode()
    opened = [await connected(api) for _ in range(300)]
    began = time.monotonic()

    async def ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> int:
        writer.write(half)
        for _ in range(number % 3 * 6):  # a third keeps silent, the others dribble on
            await asyncio.sleep(1.0)
            with suppress(OSError):
                writer.write(b"e")
        status = int((await reader.read()).split()[1])
        writer.close()
        return status

    statuses = await asyncio.gather(*[ended(*each, number) for number, each in enumerate(opened)])
    assert statuses == [408] * 300
    assert time.monotonic() - began < (http_protocol.HEAD_SECONDS + 5) * SLOWER
    reader, writer = await connected(api)
    assert await reader.read() == b"", "who asks for nothing is let go without an answer"
    writer.close()


async def test_mend_c02_one_connection_too_many_is_told_when_to_come_again(
    tmp_path: Path, unused_port: int, signer: Signer
) -> None:
    async with api_alone(tmp_path, unused_port, signer, http_connections=20) as api:
        opened = [await connected(api) for _ in range(20)]
        reader, writer = await connected(api)
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in answer.lower()
        assert b"urn:loyalty:problem:overloaded" in answer
        for _, other in opened:
            other.close()

        async def alive() -> bool:
            with suppress(httpx.TransportError):
                return (await api.get("/healthz")).status_code == 200
            return False

        await eventually(alive)


async def test_mend_c02_what_is_no_http_is_a_problem_too(api: Process) -> None:
    status, document, _ = await sent(api, b"HELO loyalty\r\n\r\n")
    assert (status, document["type"]) == (400, "urn:loyalty:problem:malformed-request")


async def test_an_answer_to_a_client_that_sends_on_reaches_it_on_a_connection_that_it_wanted_closed(
    api: Process,
) -> None:
    status, _, taken = await sent(api, head("Connection: close", f"Content-Length: {4 * MIB}"), b"x" * MIB, 4)
    assert (status, taken) == (401, 4 * MIB)


# ── as plain ASGI ────────────────────────────────────────────────────────────────────────────────────────────────


def scope_of(method: str, path: str, **headers: str) -> Scope:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "headers": raw}


async def answer_of(app: Any, scope: Scope, receive: Receive) -> tuple[int, dict[bytes, bytes]]:
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    await app(scope, receive, send)
    return messages[0]["status"], dict(messages[0]["headers"])


async def nothing() -> Any:
    await asyncio.sleep(3600)


async def test_mend_c02_requests_in_flight_are_bounded_and_health_is_asked_all_the_same() -> None:
    answers = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/healthz":
            await answers.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    app = limited(slow, max_requests=2, max_bodies={})
    first = [asyncio.create_task(answer_of(app, scope_of("GET", "/v1/x"), nothing)) for _ in range(2)]
    await asyncio.sleep(0)
    status, headers = await answer_of(app, scope_of("GET", "/v1/x"), nothing)
    assert (status, headers[b"retry-after"]) == (503, b"1")
    assert (await answer_of(app, scope_of("GET", "/healthz"), nothing))[0] == 200
    answers.set()
    assert [(await each)[0] for each in first] == [200, 200]
    assert (await answer_of(app, scope_of("GET", "/v1/x"), nothing))[0] == 200


async def test_mend_c02_a_body_that_dribbles_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.05)

    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass

    async def dribble() -> Any:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    app = limited(reading, max_requests=2, max_bodies={})
    with pytest.raises(Problem, match="too-slow"):
        await answer_of(app, scope_of("POST", "/v1/x"), dribble)


@pytest.mark.parametrize(("path", "size", "passes"), [("/big", 2000, True), ("/big", 2001, False), ("/x", 2000, True)])
async def test_a_path_may_take_larger_bodies(path: str, size: int, passes: bool) -> None:
    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def body() -> Any:
        return {"type": "http.request", "body": b"x" * size}

    app = limited(reading, max_requests=1, max_bodies={"/big": 2000})
    for headers in ({"content_length": str(size)}, {}):
        if passes:
            assert (await answer_of(app, scope_of("POST", path, **headers), body))[0] == 200
        else:
            with pytest.raises(Problem, match="too-large"):
                await answer_of(app, scope_of("POST", path, **headers), body)
