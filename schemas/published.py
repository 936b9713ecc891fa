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

OPEN_CODES: Final = {"loyalty.dead_letter.recorded.v1": "data.reason"}
"""By type, the field whose codes are documented as a set that grows: a reader shows a code that it does not know."""


def broken(directory: Path = PUBLISHED) -> dict[str, list[Breaking]]:
    """By published type what today's code breaks of it; empty if nothing."""
    found: dict[str, list[Breaking]] = {}
    for path in sorted(directory.glob("*.json")):
        kind = path.stem
        if kind not in EVENT_TYPES:
            found[kind] = [Breaking("", "the type was removed")]
            continue
        frozen: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        changes = breaking_changes(frozen, event_schema(kind), inbound=TOPIC_OF[kind].inbound)
        if changes := [each for each in changes if not _is_new_code(kind, each)]:
            found[kind] = changes
    return found


def _is_new_code(kind: str, change: Breaking) -> bool:
    return change.path == OPEN_CODES.get(kind) and " widened to " in change.message


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
