"""The frozen copies of published event types, `schemas/published/<type>.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from schemas.compatibility import Breaking, breaking_changes
from schemas.events import EVENT_TYPES
from schemas.generate.json_schema import event_schema
from schemas.topics import TOPIC_OF

PUBLISHED: Final = Path(__file__).parent / "published"


def broken(directory: Path = PUBLISHED) -> dict[str, list[Breaking]]:
    """By published type what today's code breaks of it; empty if nothing."""
    found: dict[str, list[Breaking]] = {}
    for path in sorted(directory.glob("*.json")):
        kind = path.stem
        if kind not in EVENT_TYPES:
            found[kind] = [Breaking("", "the type was removed")]
            continue
        frozen: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if changes := breaking_changes(frozen, event_schema(kind), inbound=TOPIC_OF[kind].inbound):
            found[kind] = changes
    return found


def freeze(kinds: list[str], directory: Path = PUBLISHED) -> None:
    """Publish types as they are now. KeyError for an unknown type, ValueError where that breaks what was."""
    schemas = {kind: event_schema(kind) for kind in kinds}
    if worse := broken(directory).keys() & schemas.keys():
        raise ValueError(f"published differently before: {', '.join(sorted(worse))}")
    directory.mkdir(parents=True, exist_ok=True)
    for kind, schema in schemas.items():
        text = json.dumps(schema, ensure_ascii=False, indent=2) + "\n"
        (directory / f"{kind}.json").write_text(text, encoding="utf-8")


def next_version(kind: str) -> str:
    """The type's name one version on: the way out of a breaking change."""
    name, _, number = kind.rpartition(".v")
    return f"{name}.v{int(number) + 1}"
