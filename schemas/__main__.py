"""Contracts as files: `python -m schemas generate | check | compat [--against DIR] | publish TYPE… | lint FILE…`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from schemas import program, published
from schemas.generate import artifacts


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is 0 if all is well, 1 if not, 2 for a call that makes no sense."""
    parser = argparse.ArgumentParser(prog="python -m schemas", description="The contracts and what is made of them.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("generate", help="write JSON Schema, AsyncAPI and the reference pages")
    commands.add_parser("check", help="fail if a generated file is not what the code says")
    compat = commands.add_parser("compat", help="fail if a published event type would break")
    compat.add_argument("--against", type=Path, default=published.PUBLISHED, help="directory of published schemas")
    publish = commands.add_parser("publish", help="freeze event types as published")
    publish.add_argument("types", nargs="+", metavar="TYPE")
    lint = commands.add_parser("lint", help="check program documents")
    lint.add_argument("files", nargs="+", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    match options.command:
        case "generate":
            return _generate()
        case "check":
            return _check()
        case "compat":
            return _compat(options.against)
        case "publish":
            return _publish(options.types)
    return max([_lint(path) for path in options.files])


def _generate() -> int:
    changed = artifacts.write()
    for path in changed:
        print(path)
    print(f"{len(changed)} of {len(artifacts.artifacts())} generated files changed")
    return 0


def _check() -> int:
    stale = artifacts.stale()
    for path in stale:
        print(f"{path}: is not what the code says", file=sys.stderr)
    if stale:
        print("run: make schemas", file=sys.stderr)
    return 1 if stale else 0


def _compat(directory: Path) -> int:
    if not directory.is_dir():
        print(f"{directory}: no such directory", file=sys.stderr)
        return 2
    broken = published.broken(directory)
    for kind, changes in broken.items():
        for change in changes:
            print(f"{kind}: {change}", file=sys.stderr)
        print(f"{kind}: keep it as published and publish {published.next_version(kind)}", file=sys.stderr)
    return 1 if broken else 0


def _publish(kinds: list[str]) -> int:
    try:
        published.freeze(kinds)
    except KeyError as unknown:
        print(f"{unknown.args[0]}: no such event type", file=sys.stderr)
        return 2
    except ValueError as refused:
        print(f"{refused}; see: python -m schemas compat", file=sys.stderr)
        return 1
    return 0


def _lint(path: Path) -> int:
    try:
        warnings = program.check(path.read_text(encoding="utf-8")).warnings
    except program.ProgramRefused as refused:
        for problem in refused.problems:
            print(f"{path}: {problem}", file=sys.stderr)
        return 1
    for warning in warnings:
        print(f"{path}: warning: {warning}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
