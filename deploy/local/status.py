"""What `make status` shows: what runs, whether it is ready, how much waits to be booked or sent, row counts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table

from deploy.local import kafka, postgres
from deploy.local.addresses import external
from deploy.local.processes import Process, family_memory
from deploy.local.readiness import readiness
from deploy.local.stack import DATABASE, SERVICES, Stack
from deploy.shop.settle import Backlog, Watch

_ASK_WITHIN_S = 20.0
_TABLES_SHOWN = 6

# Estimates of the statistics collector: counting the rows of a big ledger would take too long for a status.
_ROWS = """
SELECT n.nspname AS service, coalesce(p.relname, c.relname) AS "table",
       sum(s.n_live_tup)::bigint AS rows, sum(pg_total_relation_size(c.oid))::bigint AS bytes
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_stat_user_tables s ON s.relid = c.oid
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
LEFT JOIN pg_class p ON p.oid = i.inhparent
WHERE n.nspname = ANY($1::text[]) AND c.relkind = 'r' AND c.relname NOT IN ('migration', 'consumer_offset', 'outbox')
GROUP BY 1, 2 HAVING sum(s.n_live_tup) > 0
ORDER BY 1, 3 DESC, 2
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One server or service of the table."""

    name: str
    address: str
    process: Process | None
    ready: bool
    detail: str = ""
    ours: bool = True

    @property
    def state(self) -> str:
        """The state in one word."""
        if self.ready:
            return "ready"
        return "not ready" if self.process is not None or not self.ours else "stopped"


def lines(stack: Stack) -> list[Line]:
    """How each server and service of the stack is now."""
    return [_postgres(stack), _kafka(stack), *(_service(stack, name) for name in SERVICES)]


def show(stack: Stack, console: Console) -> bool:
    """Print the tables; True if everything is ready."""
    found = lines(stack)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "address", "pid", "memory", "state"):
        table.add_column(column, justify="right" if column in ("pid", "memory") else "left", no_wrap=True)
    for line in found:
        running = line.process
        table.add_row(
            line.name,
            line.address,
            str(running.pid) if running else "–",
            f"{family_memory(running) / 2**20:.0f} MiB" if running else "–",
            f"[{'green' if line.ready else 'red' if running else 'dim'}]{line.state}",
        )
    console.print(table)
    for line in found:
        if line.detail:
            console.print(f"{line.name}: {line.detail}", markup=False, soft_wrap=True)
    by_name = {line.name: line for line in found}
    if by_name["postgres"].ready and by_name["kafka"].ready:
        asyncio.run(_figures(stack, by_name["kafka"].address, console))
    console.print(f"Logs: {stack.directory / 'logs'}   Addresses and a token: {stack.env_file}", soft_wrap=True)
    return all(line.ready for line in found)


def _postgres(stack: Stack) -> Line:
    given = external("DATABASE_URL")
    if given is not None:
        address = urlsplit(given)
        host, port = address.hostname or "(socket)", address.port or 5432
        return Line("postgres", f"{host}:{port}", None, True, "given by DATABASE_URL", ours=False)
    server = postgres.running(stack.directory / "postgres")
    if server is None:
        return Line("postgres", "–", None, False)
    return Line("postgres", f"127.0.0.1:{server.port}", server.process, server.accepts())


def _kafka(stack: Stack) -> Line:
    given = external("KAFKA_BOOTSTRAP_SERVERS")
    if given is not None:
        return Line("kafka", given, None, kafka.answers(given), "given by KAFKA_BOOTSTRAP_SERVERS", ours=False)
    process = stack.state.running("kafka")
    if process is None:
        return Line("kafka", "–", None, False)
    address = f"127.0.0.1:{stack.state.ports['kafka']}"
    return Line("kafka", address, process, kafka.answers(address))


def _service(stack: Stack, name: str) -> Line:
    process = stack.state.running(name)
    if process is None:
        return Line(name, "–", None, False)
    ready, reasons = readiness(stack.url(name), stack.signer.token(scopes=["ops:read"]))
    return Line(name, stack.url(name), process, ready, reasons)


async def _figures(stack: Stack, bootstrap: str, console: Console) -> None:
    server = postgres.running(stack.directory / "postgres")
    dsn = external("DATABASE_URL") or (server.dsn(DATABASE) if server else "")
    try:
        async with asyncio.timeout(_ASK_WITHIN_S):
            async with Watch(dsn, bootstrap) as watch:
                backlog = await watch.look()
            connection = await asyncpg.connect(dsn)
            try:
                rows = await connection.fetch(_ROWS, list(SERVICES))
            finally:
                await connection.close()
    except (OSError, TimeoutError, asyncpg.PostgresError, KafkaError) as unknown:
        console.print(f"No figures: {unknown or type(unknown).__name__}")
        return
    console.print(_waiting(backlog))
    for service in SERVICES:
        mine = [row for row in rows if row["service"] == service]
        biggest = ", ".join(f"{row['table']} {row['rows']:,}" for row in mine[:_TABLES_SHOWN])
        size = sum(row["bytes"] for row in mine) / 2**20
        console.print(f"Rows in {service}, about: {biggest or 'none'} ({size:,.0f} MiB)", soft_wrap=True)


def _waiting(backlog: Backlog) -> str:
    return f"Waiting: {backlog.describe()}" if backlog.total else "Waiting: nothing; all records are booked and sent."
