"""The container files say what the code understands: commands, settings, ports, files."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.kit.settings import Settings
from services.kit.topics import TopicSettings
from services.ledger.settings import LedgerSettings
from services.notifier.settings import NotifierSettings
from services.tiering.settings import TieringSettings

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = {name: it for name, it in COMPOSE["services"].items() if it["image"] == "points-ledger"}
SETTINGS: dict[str, type[Settings]] = {
    "services.ledger": LedgerSettings,
    "services.tiering": TieringSettings,
    "services.notifier": NotifierSettings,
}


@pytest.mark.parametrize("name", OURS)
def test_a_container_runs_a_module_that_exists(name: str) -> None:
    assert importlib.util.find_spec(OURS[name]["command"][0]) is not None


@pytest.mark.parametrize("name", [name for name in OURS if OURS[name]["command"][0] in SETTINGS])
def test_a_container_gets_what_its_settings_need_and_nothing_they_do_not_know(name: str) -> None:
    fields = SETTINGS[OURS[name]["command"][0]].model_fields
    set_by_us = {variable.lower() for variable in OURS[name]["environment"]}
    assert set_by_us <= set(fields)
    assert {field for field, described in fields.items() if described.is_required()} <= set_by_us


@pytest.mark.parametrize("service", ["ledger", "tiering", "notifier"])
def test_only_migrations_know_the_administrator(service: str) -> None:
    assert "MIGRATION_DATABASE_URL" not in OURS[service]["environment"]
    assert "MIGRATION_DATABASE_URL" in OURS[f"migrate-{service}"]["environment"]


@pytest.mark.parametrize("service", ["ledger", "tiering", "notifier"])
def test_ports_are_those_of_the_settings_and_open_to_this_machine_only(service: str) -> None:
    port = SETTINGS[f"services.{service}"].model_fields["http_port"].default
    assert OURS[service]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"127.0.0.1:{port}/readyz" in OURS[service]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_what_a_container_waits_for_exists(name: str) -> None:
    for dependency, condition in COMPOSE["services"][name].get("depends_on", {}).items():
        other = COMPOSE["services"][dependency]
        assert condition["condition"] != "service_healthy" or "healthcheck" in other


def test_the_image_copies_what_exists_and_what_is_not_ignored() -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    kept = set(re.findall(r"^!(\S+)", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE))
    assert copied
    assert set(copied) == kept
    assert all((DEPLOY.parent / path).exists() for path in copied)


CHART = DEPLOY / "helm" / "points-ledger"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())


@pytest.mark.parametrize("template", ["services.yaml", "prepare.yaml", "_pod.tpl"])
def test_the_chart_sets_only_what_the_settings_know(template: str) -> None:
    text = (CHART / "templates" / template).read_text()
    named = set(re.findall(r'name"? ?"?:? "?([A-Z][A-Z_]+)\b', text))
    assert named
    assert {name.lower() for name in named} <= set(Settings.model_fields) | set(TopicSettings.model_fields)


def test_the_chart_runs_every_service_on_its_own_port() -> None:
    ports = {name: service["port"] for name, service in VALUES["services"].items()}
    assert ports == {name.split(".")[1]: of.model_fields["http_port"].default for name, of in SETTINGS.items()}
