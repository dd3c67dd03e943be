"""Ends a call with the status of an error, its details in the trailing metadata."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from orderintake_server.api.refusals import ErrorReply
    from orderintake_server.rpc.messages import Context

Metadata = tuple[tuple[str, str | bytes], ...]

ABORT_SECONDS = 5.0
"""How long a call is held for its client to take the status."""

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def code_of(reply: ErrorReply) -> grpc.StatusCode:
    """Return gRPC's code of a status."""
    return _CODES[reply.status.code]


async def refuse(context: Context, reply: ErrorReply) -> None:
    """End a call with the status of an error.

    A client that reads nothing gets it when it reads on. Raises AbortError always.
    """
    try:
        async with asyncio.timeout(ABORT_SECONDS):
            await context.abort(
                code_of(reply), reply.status.message, trailers(reply, context.time_remaining())
            )
    except TimeoutError:
        raise grpc.aio.AbortError from None


def trailers(reply: ErrorReply, seconds_left: float | None) -> Metadata:
    """Write the trailing metadata that tells a status with its details.

    `seconds_left` is what the caller's deadline leaves. Where it ends before a retry may begin,
    gRPC's own retries are told to give up, or the caller would see a deadline and no reason.
    """
    details: Metadata = (("grpc-status-details-bin", reply.status.SerializeToString()),)
    if reply.retry_after is None:
        return details
    is_too_late = seconds_left is not None and seconds_left * 1_000 <= reply.retry_after
    return (*details, ("grpc-retry-pushback-ms", str(-1 if is_too_late else reply.retry_after)))
