"""Prometheus metrics. A name that is not declared here does not type-check and does not run.

Each worker process counts in its own registry, so that counting costs no lock between processes. `/metrics` answers
for all workers, whichever of them was asked: every series carries the worker it comes from (see `worker_status.py`).
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

MetricName = Literal[
    # Records of Kafka whose batch was committed, by topic.
    "records_total",
    # Records that were refused or failed, by topic and reason.
    "dead_letters_total",
    # Records that were refused through their publisher's fault, by source. At most 100 sources of a process get a
    # series; the others are `other`.
    "refused_by_source_total",
    # Transactions: seconds from acquiring a connection to the answer of COMMIT, and inputs in each.
    "transaction_seconds",
    "transaction_inputs",
    # Transactions that lost a race (deadlock, serialization) and ran again.
    "transaction_retries_total",
    # Batches that took too long, after which half as many records were tried.
    "batches_halved_total",
    # Batches that the fence refused, because another owner had moved the stored offsets.
    "fenced_total",
    # Times that a client of the brokers was dropped and built anew, by client.
    "kafka_clients_rebuilt_total",
    # Records between what is booked and the end of the log, and how long ago the oldest of them was appended.
    "lag_records",
    "lag_seconds",
    # Records that cannot be read yet, because a publisher's transaction before them is open.
    "held_back_records",
    # Shards that this worker owns.
    "shards_owned",
    # Outbox rows sent and acknowledged, by topic; seconds of one round (read, send, acknowledged, deleted).
    "relayed_total",
    "relay_round_seconds",
    # Shards whose outbox nobody relays, and how long ago the oldest row of the outbox was written.
    "outbox_unheld_shards",
    "outbox_oldest_seconds",
    # What a sweep found due and booked.
    "swept_total",
    # Accounts on which something is due and cannot be booked.
    "failing_accounts",
    # Messages between our accounts that could not be booked and wait to be driven again, and for how long the oldest of
    # them has: what they carry is in transit.
    "failed_messages",
    "oldest_in_transit_seconds",
    # Requests answered, by method, route and status; seconds they took, by method and route.
    "http_requests_total",
    "http_turned_away_total",
    "commands_shed_total",
    "http_request_seconds",
    # Records that came on another shard's partition (their publisher hashes keys otherwise) and were sent on, by topic.
    "rekeyed_total",
    # Inputs by outcome: booked, known, parked, refused, forwarded, failed.
    "outcomes_total",
    # Oddities that a person should look at, by kind (a refund beyond its line, points used without a hold, …).
    "alarms_total",
    # By how many seconds this host's clock is ahead of the database's.
    "clock_off_seconds",
    # Messages by touchpoint, channel and decision.
    "messages_total",
]


class _Declared(NamedTuple):
    kind: type[Counter] | type[Gauge] | type[Histogram]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)

_DECLARED: Final[dict[MetricName, _Declared]] = {
    "records_total": _Declared(Counter, "Records whose batch was committed.", ("topic",)),
    "dead_letters_total": _Declared(Counter, "Records refused or failed.", ("topic", "reason")),
    "refused_by_source_total": _Declared(Counter, "Records refused through their publisher's fault.", ("source",)),
    "transaction_seconds": _Declared(Histogram, "Seconds of a transaction.", buckets=_SECONDS),
    "transaction_inputs": _Declared(Histogram, "Inputs in a transaction.", buckets=_SIZES),
    "transaction_retries_total": _Declared(Counter, "Transactions that lost a race and ran again."),
    "batches_halved_total": _Declared(Counter, "Batches that took too long, after which half of one was tried."),
    "fenced_total": _Declared(Counter, "Batches refused by the fence: another owner had moved the offsets."),
    "kafka_clients_rebuilt_total": _Declared(Counter, "Clients of the brokers built anew.", ("client",)),
    "clock_off_seconds": _Declared(Gauge, "Seconds by which this host's clock is ahead of the database's."),
    "lag_records": _Declared(Gauge, "Records that wait to be booked."),
    "lag_seconds": _Declared(Gauge, "Age of the oldest record that waits to be booked."),
    "held_back_records": _Declared(Gauge, "Records behind a publisher's open transaction."),
    "shards_owned": _Declared(Gauge, "Shards that this worker owns."),
    "relayed_total": _Declared(Counter, "Outbox rows acknowledged by the broker.", ("topic",)),
    "relay_round_seconds": _Declared(Histogram, "Seconds of one round of the relay.", buckets=_SECONDS),
    "outbox_unheld_shards": _Declared(Gauge, "Shards whose outbox nobody relays."),
    "outbox_oldest_seconds": _Declared(Gauge, "Age of the oldest row of the outbox."),
    "swept_total": _Declared(Counter, "What sweeps found due."),
    "failing_accounts": _Declared(Gauge, "Accounts on which something is due and cannot be booked."),
    "failed_messages": _Declared(Gauge, "Messages between accounts that could not be booked."),
    "oldest_in_transit_seconds": _Declared(Gauge, "Age of the oldest of them."),
    "http_requests_total": _Declared(Counter, "Requests answered.", ("method", "route", "status")),
    "http_turned_away_total": _Declared(Counter, "Connections ended before there was a request.", ("why",)),
    "commands_shed_total": _Declared(Counter, "Commands answered 503 because too many waited.", ("why",)),
    "http_request_seconds": _Declared(Histogram, "Seconds of a request.", ("method", "route"), _SECONDS),
    "rekeyed_total": _Declared(Counter, "Records sent on to their member's shard.", ("topic",)),
    "outcomes_total": _Declared(Counter, "Inputs by outcome.", ("outcome",)),
    "alarms_total": _Declared(Counter, "Oddities for a person to look at.", ("kind",)),
    "messages_total": _Declared(Counter, "Messages decided.", ("touchpoint", "channel", "decision")),
}

disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY: Final = CollectorRegistry(auto_describe=False)
"""This process's own series, without the worker label."""

ProcessCollector(registry=REGISTRY)


def _build(name: str, declared: _Declared) -> Counter | Gauge | Histogram:
    if declared.kind is Histogram:
        return Histogram(name, declared.help, declared.labels, registry=REGISTRY, buckets=declared.buckets)
    return declared.kind(name, declared.help, declared.labels, registry=REGISTRY)


_METRICS: Final = {name: _build(name, declared) for name, declared in _DECLARED.items()}


def count(name: MetricName, by: float = 1, **labels: str) -> None:
    """Adds to a counter."""
    counter(name, **labels).inc(by)


def counter(name: MetricName, **labels: str) -> Counter:
    """One series of a counter, for hot paths that keep it."""
    metric = _METRICS[name]
    assert isinstance(metric, Counter)
    return metric.labels(**labels) if labels else metric


def gauge(name: MetricName, value: float, **labels: str) -> None:
    """Sets a gauge."""
    metric = _METRICS[name]
    assert isinstance(metric, Gauge)
    (metric.labels(**labels) if labels else metric).set(value)


def observe(name: MetricName, value: float, **labels: str) -> None:
    """Adds one value to a histogram."""
    histogram(name, **labels).observe(value)


def histogram(name: MetricName, **labels: str) -> Histogram:
    """One series of a histogram, for hot paths that keep it."""
    metric = _METRICS[name]
    assert isinstance(metric, Histogram)
    return metric.labels(**labels) if labels else metric
