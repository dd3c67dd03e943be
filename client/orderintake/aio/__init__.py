"""The client for asyncio."""

from orderintake.aio.client import AsyncClient
from orderintake.aio.completions import AsyncCompletions

__all__ = ["AsyncClient", "AsyncCompletions"]
