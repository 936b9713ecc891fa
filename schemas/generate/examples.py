"""The checked-in examples: one event of each type, and program documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import orjson

EXAMPLES: Final = Path(__file__).parent.parent / "examples"


def event_example(event_type: str) -> dict[str, Any]:
    """The example of an event type."""
    example: dict[str, Any] = orjson.loads((EXAMPLES / f"{event_type}.json").read_bytes())
    return example


def program_examples() -> dict[str, str]:
    """The example documents by file name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((EXAMPLES / "program").glob("*.yaml"))}
