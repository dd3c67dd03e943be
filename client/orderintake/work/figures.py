"""What handlers do to the process that they run in, in numbers."""

from dataclasses import dataclass


@dataclass(slots=True)
class HandlerFigures:
    """The numbers, as they are now. Whoever tells of them reads them; the calls of handlers write.

    There is one of these for each HandlerCalls, as long as it lives.
    """

    stuck_attempts: int = 0
    """How many handlers go on at this moment though their attempt is over: threads that do not
    return, and coroutines that do not heed their cancellation. Each takes a place of
    `CallPolicy.stuck`; when all are taken, orders wait."""
    loop_stalls: int = 0
    """How often the event loop did not answer for a second or longer, whatever the reason."""
