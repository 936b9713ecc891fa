"""The program versions that a worker knows, in the form that the fold takes."""

from __future__ import annotations

from services.kit.program import NoProgram, ProgramFollower
from services.tiering.domain.program import Program, ProgramVersions


class KnownVersions:
    """The versions that the program follower has read so far, put in order again whenever one arrives."""

    def __init__(self, follower: ProgramFollower[Program]) -> None:
        self._follower = follower
        self._versions: ProgramVersions | None = None
        follower.on_version(lambda _: self._refresh())

    def __call__(self) -> ProgramVersions:
        """All known versions; NoProgram before there is one."""
        if self._versions is None:
            self._refresh()
        if self._versions is None:
            raise NoProgram
        return self._versions

    def newest(self) -> ProgramVersions:
        """All versions, for a batch that decides by them. Raises ProgramOutdated when there may be a newer one."""
        self._follower.check_newest()
        return self()

    def _refresh(self) -> None:
        programs = [version.program for version in self._follower.versions]
        self._versions = ProgramVersions(programs) if programs else None
