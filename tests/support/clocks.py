"""Clocks that a test turns."""

from orderintake_server.clock import Clock

SECOND = 1_000_000
"""In microseconds."""


class Microseconds(Clock):
    """Tells another microsecond since 1970 each time it is asked."""

    def __init__(self) -> None:
        self.now = 1_790_000_000_000_000
        self._leapt = 0

    def __call__(self) -> int:
        self.now += 1
        return self.now

    def steady(self) -> int:
        return self.now - self._leapt

    def turn(self, seconds: float) -> None:
        """Let `seconds` pass; below 0, set the clock back."""
        self.now += round(seconds * SECOND)
        self._leapt += round(min(seconds, 0.0) * SECOND)

    def leap(self, seconds: float) -> None:
        """Set the time of day by `seconds`, forward or back; no time passes."""
        self.now += round(seconds * SECOND)
        self._leapt += round(seconds * SECOND)

    def later(self, seconds: float) -> int:
        """Tell the time that it will be in `seconds`."""
        return self.now + round(seconds * SECOND)


class Seconds:
    """Tells the time that it was turned to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def turn(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self.now += seconds
