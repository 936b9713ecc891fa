"""`balance_reads`: balances a second over HTTP, beside an endpoint that only renders."""

from __future__ import annotations

import random
from typing import Final

from tests.bench.http_load import Storm, get, load
from tests.bench.report import Figure
from tests.bench.run import Run
from tests.bench.system import Database, Service

CONNECTIONS: Final = 32
SECONDS: Final = 4.0
BAR: Final = 0.8
_MEMBERS: Final = 2_000


def balance_reads(run: Run, database: Database, ledger: Service) -> list[Figure]:
    """Rounds of: the ledger's balances, the bare endpoint; both servers with two workers."""
    members = run.workload.members
    asked = random.Random(1).sample(members, min(_MEMBERS, len(members)))
    token = run.system.signer.token()
    requests = [get(f"/v1/members/{member}/balance", token) for member in asked]
    ours: list[float] = []
    theirs: list[float] = []
    arguments = ("--parts", "api", "--workers", "2")
    with run.system.service("ledger", database, *arguments, module="tests.bench.bare") as bare:
        bare.ready()
        for _ in range(run.rounds):
            for service, samples in ((ledger, ours), (bare, theirs)):
                measured = load(service.url, Storm(lambda: random.choice(requests), CONNECTIONS, SECONDS))
                samples.append(measured.per_second)
                run.say(
                    f"{'balances' if service is ledger else 'bare FastAPI'}: {measured.per_second:,.0f} reads a "
                    f"second; the client was busy for {measured.client_busy:.0%} of a processor"
                )
    return [
        Figure.beside("balance_reads", ours, "reads/s", yardstick="bare FastAPI", yardstick_samples=theirs, least=BAR)
    ]
