"""Clocks that a test turns."""


class Microseconds:
    """Tells another microsecond since 1970 each time it is asked."""

    def __init__(self) -> None:
        self.now = 1_790_000_000_000_000

    def __call__(self) -> int:
        self.now += 1
        return self.now


class Seconds:
    """Tells the time that it was turned to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def turn(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self.now += seconds
