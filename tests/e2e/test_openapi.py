"""The services answer as their OpenAPI says, whatever is sent: no 5xx, no status, type or form that is not declared."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployment import Deployment
from tests.sharing import SLOWER

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
EXAMPLES = 15
"""Requests drawn for each operation, beside those that schemathesis makes of every declared constraint."""


@pytest.mark.parametrize("service", ["ledger", "tiering", "notifier"])
async def test_what_is_answered_is_declared(deployment: Deployment, service: str, tmp_path: Path) -> None:
    url = deployment.services[service].url
    token = deployment.signer.token()
    done = await asyncio.to_thread(
        subprocess.run,
        [
            str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json",
            "--header", f"Authorization: Bearer {token}", "--checks", CHECKS, "--max-examples", str(EXAMPLES),
            "--phases", "examples,coverage,fuzzing", "--seed", "1", "--request-timeout", "20", "--no-color",
        ],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180 * SLOWER,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:].replace(token, "…")
