"""A program that is wrong is refused by its line and path, and the one before stays in force."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deployment import PROGRAM, Deployment


@pytest.mark.parametrize(
    ("right", "wrong", "path"),
    [
        ('{upto: "800", rate: "1.5"}', '{upto: "800", rate: "-1.5"}', "earn[0].bands.steps[1].rate"),
        ("mode: upgrade_only ", "mode: upgrade_downgrade ", "tiers.mode"),
        ("- rule: first-purchase", "- rule: first-purchase\n    colour: red", "earn[1].colour"),
    ],
)
async def test_a_bad_program_is_refused_by_line_and_path_and_the_old_one_stays(
    deployment: Deployment, tmp_path: Path, right: str, wrong: str, path: str
) -> None:
    text = PROGRAM.read_text("utf-8")
    assert text.count(right) == 1
    bad = tmp_path / "program.yaml"
    bad.write_text(text.replace(right, wrong).replace('"2026.1"', '"2026.2"'), "utf-8")
    line = next(n for n, each in enumerate(bad.read_text("utf-8").splitlines(), 1) if wrong.splitlines()[-1] in each)

    refused = deployment.services["ledger"].command("publish", str(bad))

    assert refused.returncode == 1
    assert f"{bad}:" in refused.stderr
    assert f"line {line}" in refused.stderr, refused.stderr
    assert path in refused.stderr, refused.stderr
    assert "stays in force" in refused.stderr
    async with deployment.database() as look:
        assert [row["version"] for row in await look.fetch("SELECT version FROM ledger.program")] == ["2026.1"]
    again = deployment.services["ledger"].command("publish", str(PROGRAM))
    assert (again.returncode, "published already" in again.stdout) == (0, True)
