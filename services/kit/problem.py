"""Problem documents (RFC 9457): every error that leaves the API has a stable type, and says the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """A kind of problem: `urn:loyalty:problem:<code>`, its title and HTTP status."""

    code: str
    title: str
    status: int

    @property
    def type(self) -> str:
        """The stable `type` of the document."""
        return f"urn:loyalty:problem:{self.code}"


def kind(code: str, title: str, status: int) -> Kind:
    """Registers a kind of problem; ValueError when the code is taken by another."""
    raise NotImplementedError


class Problem(Exception):
    """Raised by an endpoint to answer with a problem document."""

    def __init__(
        self,
        of: Kind,
        detail: str = "",
        *,
        field: str | None = None,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        """`detail` is for this occurrence; `members` are further members of the document."""
