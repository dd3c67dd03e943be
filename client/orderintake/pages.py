"""A list that is fetched page by page: what to request next, and when the last page came."""

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
    """How much of a list was fetched, without input or output.

    Attributes:
        request: the request for the next page.
        ended: the last page was received.
    """

    def __init__(self, request: _R) -> None:
        """Begin with the page of this request."""
        self.request = request
        self.ended = False

    def received(self, page: _Page) -> None:
        """Prepare to request the page after this one.

        Raises:
            ContractBroken: the page names itself as the next one.
        """
        token = page.next_page_token
        if token and token == self.request.page_token:
            message = "a page names itself as the next one"
            raise ContractBroken(Status(code=StatusCode.INTERNAL, message=message))
        self.request.page_token = token
        self.ended = not token
