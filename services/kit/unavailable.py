"""What may be had later: the error of whatever a batch needs and cannot have now."""

from __future__ import annotations

from typing import ClassVar


class Unavailable(Exception):
    """What a batch needs is not to be had now; it may be tried again. `what` names it for people."""

    what: ClassVar[str] = ""
