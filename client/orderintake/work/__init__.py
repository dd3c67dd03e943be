"""For programs that process orders: what a handler is given, and what it may raise."""

from orderintake.work.attempt import OrderAttempt, Reject, Retry

__all__ = ["OrderAttempt", "Reject", "Retry"]
