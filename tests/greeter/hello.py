"""The greeter's one input."""

import msgspec


class Hello(msgspec.Struct, frozen=True):
    """One input."""

    member: str
    n: int
    slow: float = 0.0
    """Seconds that booking it takes."""
    breaks: bool = False
    """Booking it raises."""
    late: bool = False
    """Booking it is refused."""
