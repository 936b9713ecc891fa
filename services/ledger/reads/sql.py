"""The statements of the reads, from `sql/reads.sql`."""

from __future__ import annotations

from typing import Final

from services.kit.postgres import Queries

SQL: Final = Queries.load(
    "services.ledger",
    "sql/reads.sql",
    require=(
        "balances", "account", "lots", "milestones_around", "sums_until", "version_at",
        "entries", "end_of_look", "entries_of_kind",
        "entries_of_versions", "journal_row", "journal_of_ref", "taken_from_lot", "fact_by_public_id",
        "facts_of", "journal_of_event", "orders_paid_before", "orders_parked_after", "listed_before",
    ),
)  # fmt: skip
