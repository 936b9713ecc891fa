"""The greeter's one input."""

import msgspec


class Hello(msgspec.Struct, frozen=True):
    """One input."""

    member: str
    n: int
    slow: float = 0.0
    """Seconds that booking takes."""
    breaks: bool = False
    """Booking raises."""
    late: bool = False
    """Booking refuses."""
