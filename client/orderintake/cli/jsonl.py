"""Reads orders from lines of proto JSON, into batches that the service accepts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf import json_format

from orderintake.v1.order_intake_service_pb2 import PlaceOrderRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_ORDERS = 1000
MOST_BYTES = 3 * 1024**2 - 1024
"""What the service accepts in one batch, less the message's own few bytes."""

_OVERHEAD_BYTES = 40
"""What an order takes in a batch besides its content: tags, lengths, a request_id it may lack."""


class BadLine(Exception):
    """A line of the file is not an order."""

    def __init__(self, number: int, message: str) -> None:
        """Name the line, counted from 1, and what is wrong with it."""
        super().__init__(number, message)
        self.number = number
        self.message = message

    def __str__(self) -> str:
        """Return line and message, for people."""
        return f"line {self.number}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Orders to be placed together, and the number of each one's line, counted from 1."""

    requests: tuple[PlaceOrderRequest, ...]
    line_numbers: tuple[int, ...]


def batches(lines: Iterable[bytes]) -> Iterator[Batch]:
    """Read lines into batches as large as the service accepts; blank lines are skipped.

    Raises:
        BadLine: a line is no PlaceOrderRequest. The batch that it belongs to is not yielded.
    """
    found: list[tuple[int, PlaceOrderRequest]] = []
    size = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        request = _request(number, line)
        weight = request.ByteSize() + _OVERHEAD_BYTES
        if found and (len(found) == MOST_ORDERS or size + weight > MOST_BYTES):
            yield _batch(found)
            found, size = [], 0
        found.append((number, request))
        size += weight
    if found:
        yield _batch(found)


def _request(number: int, line: bytes) -> PlaceOrderRequest:
    try:
        text = line.decode("utf-8-sig")
        if not text.lstrip().startswith("{"):  # the parser would read [] as an empty order
            raise BadLine(number, "not a JSON object")
        return json_format.Parse(text, PlaceOrderRequest())
    except (UnicodeDecodeError, json_format.ParseError) as error:
        raise BadLine(number, str(error).partition("\n")[0]) from error


def _batch(found: list[tuple[int, PlaceOrderRequest]]) -> Batch:
    numbers, requests = zip(*found, strict=True)
    return Batch(requests=requests, line_numbers=numbers)
