"""A ledger for all tests of a module, which keep apart by their members."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from deploy.local.tokens import Signer
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import LedgerUnderTest, client_of, ledger_on


@pytest.fixture(scope="module")
async def ledger(make_database: MakeDatabase, jwks_file: Path) -> AsyncIterator[LedgerUnderTest]:
    """A ledger under the default program."""
    async with ledger_on(make_database(), jwks_file=jwks_file) as under_test:
        yield under_test


@pytest.fixture(scope="module")
async def client(ledger: LedgerUnderTest, signer: Signer) -> AsyncIterator[httpx.AsyncClient]:
    """The shop's backend, which may read and spend."""
    async with client_of(ledger.app(), signer.token(scopes=["ledger:read", "ledger:spend"])) as made:
        yield made
