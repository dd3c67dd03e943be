"""A handler that is done at once: what is measured is the service."""

from orderintake_server.handlers import OrderAttempt


async def handle(_: OrderAttempt) -> None:
    """Do nothing."""
