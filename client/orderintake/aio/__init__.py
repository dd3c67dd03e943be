"""The client for asyncio."""

from orderintake.aio.client import AsyncClient
from orderintake.aio.completions import AsyncCompletions
from orderintake.aio.placing import AsyncPlacing

__all__ = ["AsyncClient", "AsyncCompletions", "AsyncPlacing"]
