"""The program versions that a worker knows, in the form that the fold takes."""

from __future__ import annotations

from services.kit.program import NoProgram, ProgramFollower
from services.tiering.domain.program import Program, Versions


class KnownVersions:
    """What the program follower has read so far, compiled once for each version that arrives."""

    def __init__(self, follower: ProgramFollower[Program]) -> None:
        self._follower = follower
        self._versions: Versions | None = None
        follower.on_version(lambda _: self._refresh())

    def __call__(self) -> Versions:
        """All known versions; NoProgram before there is one."""
        if self._versions is None:
            self._refresh()
        if self._versions is None:
            raise NoProgram
        return self._versions

    def _refresh(self) -> None:
        programs = [version.program for version in self._follower.versions]
        self._versions = Versions(programs) if programs else None
