"""A listing that comes in pages: what to ask for next, and when the last one has come."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from grpc import StatusCode

from orderintake.errors import ContractBroken
from orderintake.status import Status


class _Request(Protocol):
    page_token: str


class _Page(Protocol):
    @property
    def next_page_token(self) -> str: ...


_R = TypeVar("_R", bound=_Request)


class Pages(Generic[_R]):
    """How far a listing has come, whatever carries it.

    Attributes:
        request: what to ask for next.
        ended: the last page was received.
    """

    def __init__(self, request: _R) -> None:
        """Begin with the page that `request` asks for."""
        self.request = request
        self.ended = False

    def received(self, page: _Page) -> None:
        """Go on behind this page.

        Raises:
            ContractBroken: the page leads back to itself.
        """
        token = page.next_page_token
        if token and token == self.request.page_token:
            message = "a page names itself as the next one"
            raise ContractBroken(Status(code=StatusCode.INTERNAL, message=message))
        self.request.page_token = token
        self.ended = not token
