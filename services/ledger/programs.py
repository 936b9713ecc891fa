"""The program versions as this process has read them. The account rows say which number is the newest."""

from __future__ import annotations

import orjson

from services.kit.calendar import Micros
from services.kit.postgres import Connection
from services.kit.program import NoProgram
from services.ledger.domain.program.program import Program, ProgramVersions, compile_program
from services.ledger.store import SQL


class KnownPrograms:
    """The program versions as this process last read them."""

    def __init__(self) -> None:
        self._programs: ProgramVersions | None = None

    @property
    def newest(self) -> Program:
        """The version last published, as far as this process knows; all have the same currency. Raises NoProgram."""
        if self._programs is None:
            raise NoProgram
        return self._programs.versions[-1]

    def need(self, instant: Micros) -> frozenset[str]:
        """The profile fields that the version in force at a business time looks into, as far as this process knows."""
        return self._programs.at(instant).needs if self._programs is not None else frozenset()

    def current(self, newest: int | None) -> ProgramVersions | None:
        """The versions known here if number `newest` is among them; otherwise None."""
        known = self._programs
        return known if known is not None and newest is not None and known.newest >= newest else None

    async def read(self, connection: Connection) -> ProgramVersions:
        """All versions, the newest included. Raises NoProgram."""
        return await self.up_to(await connection.fetchval(SQL["newest_program"]), connection)

    async def up_to(self, newest: int | None, connection: Connection) -> ProgramVersions:
        """All versions, number `newest` included; reads them if that one is not known yet. Raises NoProgram."""
        known = self.current(newest)
        if known is None:
            if newest is None:
                raise NoProgram
            rows = await connection.fetch(SQL["programs"])
            known = self._programs = ProgramVersions(
                compile_program(row["number"], orjson.loads(row["document"])) for row in rows
            )
        return known
