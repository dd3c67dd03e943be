"""What is served by HTTP, described for programs: OpenAPI 3.1, generated from the contract."""

from __future__ import annotations

import asyncio
from functools import cache
from importlib.resources import files

from aiohttp import web

PATH = "/openapi.json"


def add_to(router: web.UrlDispatcher) -> None:
    """Show the description to whoever asks: it says nothing of this server's orders."""
    router.add_get(PATH, _tell)


async def _tell(_: web.Request) -> web.StreamResponse:
    return web.Response(body=await asyncio.to_thread(_text), content_type="application/json")


@cache
def _text() -> bytes:
    return files(__package__).joinpath("openapi.json").read_bytes()
