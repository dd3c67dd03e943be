"""What a server's HTTP listener answers, and the samples of a scrape."""

import asyncio
import http.client
import json
from collections.abc import Mapping
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

PREFIX = "orderintake_"


class Page(NamedTuple):
    """An answer."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def reasons(self) -> list[str]:
        """Why a server is not ready."""
        found: list[str] = json.loads(self.text)["reasons"]
        return found


class Sample(NamedTuple):
    """One number of a scrape."""

    name: str
    labels: Mapping[str, str]
    value: float


class Scrape:
    """The numbers of one moment."""

    def __init__(self, text: str) -> None:
        self.families = {found.name: found for found in text_string_to_metric_families(text)}
        self.samples = [
            Sample(found.name, found.labels, found.value)
            for family in self.families.values()
            for found in family.samples
        ]

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have these labels."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == PREFIX + name and labels.items() <= sample.labels.items()
        )


def page(
    port: int, path: str = "/metrics", *, method: str = "GET", headers: dict[str, str] | None = None
) -> Page:
    """Ask for a page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return Page(answer.status, dict(answer.getheaders()), answer.read().decode())
    finally:
        connection.close()


async def get(port: int, path: str = "/metrics", **headers: str) -> Page:
    """Ask for a page from within an event loop."""
    return await asyncio.to_thread(page, port, path, headers=headers)


async def scrape(port: int) -> Scrape:
    """Read all numbers."""
    return Scrape((await get(port)).text)
