"""What all inputs have."""

from __future__ import annotations

import msgspec

from services.kit.calendar import Micros


class Input(msgspec.Struct, frozen=True, array_like=True, tag_field="type"):
    """An event, a command or a timer: (subject, source, id, at) name it; the subject is the account it is booked on."""

    source: str
    id: str
    at: Micros
