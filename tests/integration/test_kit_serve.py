"""A service as real processes: workers, signals, readiness, metrics, kill -9 at exact points."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.local.tokens import Signer
from services.kit import serve
from services.kit.kafka import shard_of
from tests.conftest import REPOSITORY
from tests.greeter.routes import SHARDS
from tests.integration.kit_process import Process, served
from tests.integration.kit_support import eventually, eyes, hello, publish, read, settings_for


async def test_two_workers_share_port_and_shards_and_answer_for_each_other(
    database: str, kafka: str, unused_port: int, tmp_path: Path, signer: Signer
) -> None:
    settings = await settings_for(database, kafka)
    await publish(kafka, [(settings.hellos, f"m{n}", hello(f"m{n}", n)) for n in range(200)])
    async with (
        served(settings, unused_port, tmp_path, "--workers", "2", jwks_file=signer.jwks_file) as process,
        eyes(database) as look,
    ):
        await process.ready()
        await eventually(lambda: look.has("hello", 200))
        operator = f"Bearer {signer.token(scopes=['ops:read'])}"
        state = (await process.get("/status", authorization=operator)).json()
        shards = [worker["consumer"]["figures"]["shards"].split(",") for worker in state["workers"].values()]
        assert sorted(int(shard) for own in shards for shard in own) == list(range(SHARDS))
        assert [len(own) for own in shards] == [2, 2]

        async with httpx.AsyncClient(
            base_url=process.url, headers={"Authorization": f"Bearer {signer.token()}"}
        ) as client:
            for n in range(5):
                answer = await client.post(f"/v1/members/m{n}/hellos", json={"n": n + 1000})
                assert answer.json() == {"outcome": "booked"}

        async def totals() -> bool:
            # Whoever answers, the sums are right; the other worker's page is at most a second old.
            answers = [_metrics((await process.get("/metrics")).text) for _ in range(4)]
            return all(
                _sum(found, "records_total") == 200
                and _sum(found, "http_requests_total", 'method="POST"') == 5
                and {"0", "1"} <= {label for key in found for label in re.findall(r'worker="(\d)"', key)}
                for found in answers
            )

        await eventually(totals)
        assert await process.stop() == 0
        assert "worker_died" not in process.log.read_text()


async def test_a_stop_under_load_is_quick_and_loses_nothing(
    database: str, kafka: str, unused_port: int, tmp_path: Path, signer: Signer
) -> None:
    settings = await settings_for(database, kafka, max_batch=20)
    async with eyes(database) as look:
        total = 0
        for _ in range(2):
            async with served(settings, unused_port, tmp_path, jwks_file=signer.jwks_file) as process:
                await process.ready()
                more = [(f"m{n % 50}", total + n) for n in range(600)]
                total += 600
                await publish(kafka, [(settings.hellos, m, hello(m, n, slow=0.001)) for m, n in more])
                began = time.monotonic()
                assert await process.stop() == 0
                assert time.monotonic() - began < 10
        async with served(settings, unused_port, tmp_path, jwks_file=signer.jwks_file) as process:
            await eventually(lambda: look.has("hello", total))
            await eventually(lambda: look.has("outbox", 0))
    sent = await read(kafka, settings.greetings)
    assert len(sent) == total  # a graceful stop does not even repeat


async def test_a_worker_that_dies_takes_the_service_down_non_zero(
    database: str, kafka: str, unused_port: int, tmp_path: Path
) -> None:
    settings = await settings_for(database, kafka)
    async with served(settings, unused_port, tmp_path, "--workers", "2") as process:
        await eventually(lambda: _workers(process, 2))
        process.workers()[0].kill()
        assert await process.ended() == 1


async def test_workers_end_when_their_parent_is_killed(
    database: str, kafka: str, unused_port: int, tmp_path: Path, signer: Signer
) -> None:
    settings = await settings_for(database, kafka)
    async with served(settings, unused_port, tmp_path, "--workers", "2", jwks_file=signer.jwks_file) as process:
        await process.ready()
        workers = process.workers()
        os.kill(process.popen.pid, signal.SIGKILL)

        async def gone() -> bool:
            return not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)

        with suppress(psutil.NoSuchProcess):
            await eventually(gone, seconds=10)
    async with served(settings, unused_port, tmp_path, jwks_file=signer.jwks_file) as process:
        await process.ready()


async def test_a_start_removes_the_directory_that_a_killed_service_left(
    database: str, kafka: str, unused_port: int, tmp_path: Path
) -> None:
    settings = await settings_for(database, kafka)
    temporary = tmp_path / "tmp"
    temporary.mkdir()

    def directories() -> set[str]:
        return {path.name for path in temporary.iterdir()}

    async with served(settings, unused_port, tmp_path, "--workers", "2", tmpdir=temporary) as process:
        await eventually(lambda: _workers(process, 2))
        left = directories()
        assert len(left) == 1
        workers = process.workers()
        for worker in workers:
            worker.suspend()  # they live on for a while
        os.kill(process.popen.pid, signal.SIGKILL)
        async with served(settings, 0, tmp_path, tmpdir=temporary) as another:
            await eventually(lambda: _workers(another, 1))
            assert left < directories(), "workers that live on need it"
            assert await another.stop() == 0
        assert directories() == left
        for worker in workers:
            worker.kill()
    async with served(settings, 0, tmp_path, tmpdir=temporary) as process:
        await eventually(lambda: _workers(process, 1))
        assert len(directories()) == 1
        assert not left & directories()
        assert await process.stop() == 0
    assert not directories()


@pytest.mark.parametrize(
    "point",
    [
        "after_fence:3",
        "before_commit:3",
        "after_commit:3",
        "relay_before_send:1",
        "relay_after_send:1",
        "relay_after_delete:1",  # a second time may not come: a round takes all that waits
    ],
)
async def test_kill_9_at_any_point_loses_and_doubles_nothing(
    point: str, database: str, kafka: str, unused_port: int, tmp_path: Path, signer: Signer
) -> None:
    settings = await settings_for(database, kafka, max_batch=20)
    said = [(f"m{n % 11}", n) for n in range(400)]
    await publish(kafka, [(settings.hellos, member, hello(member, n)) for member, n in said])
    async with eyes(database) as look:
        for spec in (point, point, ""):
            async with served(settings, unused_port, tmp_path, loyalty_kill_at=spec) as process:
                if spec:
                    assert await process.ended(30) == 1
                else:
                    await eventually(lambda: _workers(process, 1))  # all may be done already: it must hear the signal
                    await eventually(lambda: look.has("hello", 400))
                    await eventually(lambda: look.has("outbox", 0))
                    assert await process.stop() == 0
        assert await look.count("hello") == 400
    sent = await read(kafka, settings.greetings)
    for member in {member for member, _ in said}:
        newest = -1
        kept = [newest := n for n in (int(r.value) for r in sent if r.key == member.encode()) if n > newest]
        assert kept == [n for who, n in said if who == member]
        assert {r.partition for r in sent if r.key == member.encode()} == {shard_of(member, SHARDS)}


def test_what_is_wrong_with_the_environment_is_said_by_name() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.greeter", "serve"],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": "postgresql://u:hunter2@h/d", "SHARDS": "none"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "KAFKA_BOOTSTRAP_SERVERS: Field required" in done.stderr
    assert "SHARDS: " in done.stderr
    assert "hunter2" not in done.stderr


def test_mend_d02_nothing_is_served_while_anybodys_tokens_would_do() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.greeter", "serve"],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": "postgresql://h/d", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("JWT_ISSUER and JWT_AUDIENCE must say")


def test_a_port_that_another_process_listens_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "PORT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other, pytest.raises(OSError, match="in use"):
        serve._reserve("127.0.0.1", other.getsockname()[1])


def _metrics(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def _sum(found: dict[str, float], name: str, label: str = "") -> float:
    return sum(value for key, value in found.items() if key.split("{")[0] == name and label in key)


async def _workers(process: Process, number: int) -> bool:
    return len(process.workers()) == number
