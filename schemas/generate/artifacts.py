"""The generated files: writing them, and finding those that are no longer what the code says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from schemas.events import EVENT_TYPES
from schemas.generate import asyncapi, reference
from schemas.generate.json_schema import event_schema, program_schema

ROOT: Final = Path(__file__).parent.parent.parent
GENERATED: Final = Path("schemas/generated")


def artifacts() -> dict[Path, str]:
    """Every generated file, by its path in the repository. The same code makes the same bytes."""
    files = {GENERATED / "events" / f"{kind}.json": _json(event_schema(kind)) for kind in EVENT_TYPES}
    files[GENERATED / "program.schema.json"] = _json(program_schema())
    files[GENERATED / "asyncapi.json"] = _json(asyncapi.document())
    files[Path("docs/reference/events.md")] = reference.events_page()
    files[Path("docs/reference/program.md")] = reference.program_page()
    return files


def stale(root: Path = ROOT) -> list[Path]:
    """Files that are missing, outdated, or no longer generated."""
    wanted = artifacts()
    outdated = {
        path
        for path, text in wanted.items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    }
    left_over = {
        path.relative_to(root) for path in (root / GENERATED).rglob("*.json") if path.relative_to(root) not in wanted
    }
    return sorted(outdated | left_over)


def write(root: Path = ROOT) -> list[Path]:
    """Bring the files up to date; which ones changed."""
    changed = stale(root)
    wanted = artifacts()
    for path in changed:
        target = root / path
        if path in wanted:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(wanted[path], encoding="utf-8")
        else:
            target.unlink()
    return changed


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
