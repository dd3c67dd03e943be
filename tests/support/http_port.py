"""The HTTP listener of a server process: where it is, and whether it says that it is ready."""

import asyncio

from support.metrics import Page, get
from support.process import ServerProcess


def http_port(server: ServerProcess) -> int:
    """Tell where it is scraped."""
    (entry,) = [each for each in server.log if each["event"] == "serving HTTP"]
    return int(str(entry["url"]).split(":")[2].partition("/")[0])


async def until_reasons(port: int, reasons: list[str]) -> Page:
    """Ask again and again until the server is not ready for these reasons."""
    async with asyncio.timeout(30):
        while (found := await get(port, "/readyz")).reasons != reasons:
            pass
    return found
