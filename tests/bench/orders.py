"""`order_events` and `order_events_without_relay`: from Kafka to committed outcomes, beside plain SQL."""

from __future__ import annotations

from tests.bench.drain import Drain, drained
from tests.bench.report import Figure
from tests.bench.run import Run
from tests.bench.yardstick import Rate

YARDSTICK = "plain SQL"
"""Writing the same rows."""
WITH_RELAY_BAR = 0.40
WITHOUT_RELAY_BAR = 0.50
MEMORY_BAR_MIB = 300.0


def order_events(run: Run) -> list[Figure]:
    """Rounds of: the ledger with its relay, plain SQL, the ledger without, plain SQL."""
    with_relay: list[Drain] = []
    without: list[Drain] = []
    raw: list[Rate] = []
    for _ in range(run.rounds):
        with_relay.append(one(run, relay=True))
        raw.append(run.raw_sql())
        without.append(one(run, relay=False))
        raw.append(run.raw_sql())
    figures = [
        Figure.beside(
            name,
            [drain.events_per_second for drain in drains],
            "events/s",
            yardstick=YARDSTICK,
            yardstick_samples=[rate.events_per_second for rate in raw],
            least=bar,
        )
        for name, drains, bar in (
            ("order_events", with_relay, WITH_RELAY_BAR),
            ("order_events_without_relay", without, WITHOUT_RELAY_BAR),
        )
    ]
    return figures + _costs(run, with_relay, without, raw)


def one(run: Run, *, relay: bool) -> Drain:
    """One drain on a fresh database, its invariants checked."""
    with run.system.database("ledger") as database:
        drain = drained(run.system, database, run.events, relay=relay)
        found = run.system.verify(database)
        if found["journal"] < run.events:
            raise AssertionError(f"{run.events} events, {found['journal']} journalled")
    run.say(
        f"ledger {'with' if relay else 'without'} relay: {drain.events_per_second:,.0f} events a second "
        f"({drain.steady:,.0f} in its steady part; {drain.batch:,.0f} a transaction); the invariants hold"
    )
    return drain


def _costs(run: Run, with_relay: list[Drain], without: list[Drain], raw: list[Rate]) -> list[Figure]:
    statements = sum(cost.calls for cost in run.recorded[1].values())
    batches = len(run.recorded[0])
    figures = [Figure.of("order_events_until_sent", [drain.sent_per_second for drain in with_relay], "events/s")]
    for suffix, drains in (("", with_relay), ("_without_relay", without)):
        figures.append(
            Figure.beside(
                f"cpu_an_event{suffix}",
                [1e6 * sum(drain.usage.cpu_seconds.values()) / drain.used_by for drain in drains],
                "µs",
                yardstick=YARDSTICK,
                yardstick_samples=[rate.cpu_an_event for rate in raw],
            )
        )
    for suffix, drains in (("", with_relay), ("_without_relay", without)):
        for family, name in (("ledger", "python"), ("postgres", "postgres"), ("kafka", "broker")):
            figures.append(
                Figure.of(
                    f"{name}_cpu_an_event{suffix}",
                    [1e6 * drain.usage.cpu_seconds[family] / drain.used_by for drain in drains],
                    "µs",
                )
            )
        figures.append(
            Figure.of(f"wal_an_event{suffix}", [drain.usage.wal_bytes / drain.used_by for drain in drains], "bytes")
        )
        figures.append(
            Figure.of(
                f"rows_an_event{suffix}",
                [
                    (drain.usage.rows_inserted + drain.usage.rows_updated + drain.usage.rows_deleted) / drain.used_by
                    for drain in drains
                ],
                "rows",
            )
        )
        figures.append(Figure.of(f"events_a_transaction{suffix}", [drain.batch for drain in drains], "events"))
    figures.append(Figure.of("statements_a_transaction", [statements / batches], "statements"))
    figures.append(
        Figure.of("statements_an_event", [statements / batches / drain.batch for drain in with_relay], "statements")
    )
    peak = max(drain.peaks["ledger"] for drain in with_relay) / 2**20
    figures.append(Figure.below("memory_of_ledger", peak, "MiB", MEMORY_BAR_MIB))
    return figures
