"""Whether a change of an event's schema breaks those who rely on the version that was published.

`schemas/published/` keeps a frozen copy of each published type; a type without one is a draft and may change.
Of what others write, everything that was valid must stay valid and be read as before. Of what we write, readers
go by the published copy, and our own services also read what is still on the topics: there only an optional field
may come. Anything else is a new version of the type.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

Schema = dict[str, Any]

_WORDS: Final = frozenset({"title", "description", "default", "examples", "$id", "$schema", "$defs", "discriminator"})
_COMPARED: Final = frozenset(
    {"$ref", "properties", "required", "type", "enum", "const", "items", "additionalProperties", "anyOf", "oneOf"}
)
_LOWER: Final = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
_UPPER: Final = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})


@dataclass(frozen=True, slots=True)
class Breaking:
    """One change that breaks a published version."""

    path: str
    """`data.lines[].amount`."""
    message: str

    def __str__(self) -> str:
        return f"{self.path or 'the event'}: {self.message}"


def breaking_changes(published: Schema, proposed: Schema, *, inbound: bool) -> list[Breaking]:
    """What a proposed schema breaks; `inbound` for what others write and we read."""
    return list(dict.fromkeys(_Comparison(published, proposed, inbound).compare(published, proposed, "")))


class _Comparison:
    """A walk through both schemas side by side. `old` is published, `new` proposed."""

    def __init__(self, old_root: Schema, new_root: Schema, inbound: bool) -> None:
        self._old_root = old_root
        self._new_root = new_root
        self._inbound = inbound
        self._on_the_way: set[tuple[str, str]] = set()

    def compare(self, old: Schema, new: Schema, path: str) -> Iterator[Breaking]:
        pair = (str(old.get("$ref", "")), str(new.get("$ref", "")))
        if all(pair):
            if pair in self._on_the_way:
                return
            self._on_the_way.add(pair)
        try:
            yield from self._resolved(_resolve(old, self._old_root), _resolve(new, self._new_root), path)
        finally:
            self._on_the_way.discard(pair)

    def _resolved(self, old: Schema, new: Schema, path: str) -> Iterator[Breaking]:
        if {"anyOf", "oneOf"} & (old.keys() | new.keys()):
            yield from self._branches(_branches(old), _branches(new), path)
            return
        yield from self._values(old, new, path)
        yield from self._limits(old, new, path)
        yield from self._fields(old, new, path)
        if "items" in old and "items" in new:
            yield from self.compare(old["items"], new["items"], f"{path}[]")
        elif "items" in old or "items" in new:
            yield Breaking(path, "what a list holds is told differently")
        yield from self._others(old, new, path)

    def _values(self, old: Schema, new: Schema, path: str) -> Iterator[Breaking]:
        """`type`, `enum` and `const`: the sets of what is allowed."""
        for name in ("type", "values"):
            before, after = _allowed(old, name), _allowed(new, name)
            if before == after:
                continue
            gone = after is not None and (before is None or before - after)
            come = before is not None and (after is None or after - before)
            if gone:
                yield Breaking(path, f"{_said(name)} {_names(before)} narrowed to {_names(after)}")
            if come and not self._inbound:
                yield Breaking(path, f"{_said(name)} {_names(before)} widened to {_names(after)}")

    def _limits(self, old: Schema, new: Schema, path: str) -> Iterator[Breaking]:
        for name in sorted((_LOWER | _UPPER) & (old.keys() | new.keys())):
            before, after = old.get(name), new.get(name)
            if before == after:
                continue
            tighter = before is None or (after is not None and (after > before if name in _LOWER else after < before))
            if tighter:
                yield Breaking(path, f"{name} narrowed from {before} to {after}")
            elif not self._inbound:
                yield Breaking(path, f"{name} widened from {before} to {after}")
        for name in ("pattern", "format"):
            before, after = old.get(name), new.get(name)
            # Two patterns cannot be compared; only dropping one surely widens.
            if before != after and (after is not None or not self._inbound):
                yield Breaking(path, f"{name} changed from {before} to {after}")

    def _fields(self, old: Schema, new: Schema, path: str) -> Iterator[Breaking]:
        before, after = old.get("properties", {}), new.get("properties", {})
        required_before, required_after = set(old.get("required", ())), set(new.get("required", ()))
        for name in before:
            below = f"{path}.{name}" if path else name
            if name not in after:
                yield Breaking(below, "the field was removed")
                continue
            yield from self.compare(before[name], after[name], below)
        for name in sorted(required_after - required_before):
            yield Breaking(f"{path}.{name}" if path else name, "the field is required now")
        if not self._inbound:
            for name in sorted((required_before - required_after) & after.keys()):
                yield Breaking(f"{path}.{name}" if path else name, "the field is optional now")

    def _branches(self, old: list[Schema], new: list[Schema], path: str) -> Iterator[Breaking]:
        """Alternatives: each old one must still be met by a new one, and of what we write each new by an old."""
        for branch in old:
            if not any(self._same(branch, other, inbound=True, path=path) for other in new):
                yield Breaking(path, f"{_branch_name(branch)} is no longer taken")
        if not self._inbound:
            for other in new:
                if not any(self._same(branch, other, inbound=False, path=path) for branch in old):
                    yield Breaking(path, f"{_branch_name(other)} is new")

    def _same(self, old: Schema, new: Schema, *, inbound: bool, path: str) -> bool:
        comparison = _Comparison(self._old_root, self._new_root, inbound)
        comparison._on_the_way = set(self._on_the_way)
        return not any(comparison.compare(old, new, path))

    def _others(self, old: Schema, new: Schema, path: str) -> Iterator[Breaking]:
        """Anything that this check does not understand must not change."""
        for name in sorted((old.keys() | new.keys()) - _WORDS - _COMPARED - _LOWER - _UPPER - {"pattern", "format"}):
            if old.get(name) != new.get(name):
                yield Breaking(path, f"{name} changed")
        before, after = old.get("additionalProperties", True), new.get("additionalProperties", True)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from self.compare(before, after, f"{path}.*")
        elif before != after and (after is not True or not self._inbound):
            yield Breaking(path, "which further fields may come has changed")


def _resolve(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        target: Schema = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        schema = target
    return schema


def _branches(schema: Schema) -> list[Schema]:
    branches: list[Schema] = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return branches


def _branch_name(branch: Schema) -> str:
    return str(branch.get("$ref", branch.get("type", "an alternative"))).rpartition("/")[2]


def _allowed(schema: Schema, name: str) -> frozenset[Any] | None:
    """What is allowed, None where everything is."""
    if name == "type":
        kinds = schema.get("type")
        return None if kinds is None else frozenset([kinds] if isinstance(kinds, str) else kinds)
    if "const" in schema:
        return frozenset([schema["const"]])
    return frozenset(schema["enum"]) if "enum" in schema else None


def _said(name: str) -> str:
    return "the type" if name == "type" else "the values"


def _names(allowed: frozenset[Any] | None) -> str:
    return "anything" if allowed is None else ", ".join(sorted(map(str, allowed)))
