"""Subscribers that cost little: they count what they get and parse nothing of it.

As a program: `following.py PORT SUBSCRIBERS EVENTS REQUEST` subscribes so often, waits until each
has so many completions, and prints the seconds that took all of them. With `live` behind, it first
waits until all subscriptions stand, and prints a line.
"""

import asyncio
import sys
import time
from typing import Any

import grpc
import uvloop
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

METHOD = "/orderintake.v1.OrderIntakeService/StreamCompletions"
PER_CHANNEL = 64
"""A server lets a connection have no more calls at once."""
CURSOR = "0" * 23
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


def _parts() -> Any:  # noqa: ANN401 - a class made at run time
    """Make the message StreamCompletionsResponse, but with its completions unopened."""
    file = descriptor_pb2.FileDescriptorProto(name="parts.proto", package="bench")
    message = file.message_type.add(name="Parts")
    kinds = descriptor_pb2.FieldDescriptorProto
    for number, name, kind, label in (
        (1, "completions", kinds.TYPE_BYTES, kinds.LABEL_REPEATED),
        (2, "cursor", kinds.TYPE_STRING, kinds.LABEL_OPTIONAL),
        (9, "sent", kinds.TYPE_BYTES, kinds.LABEL_OPTIONAL),
    ):
        message.field.add(name=name, number=number, type=kind, label=label)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("bench.Parts"))


Parts = _parts()


class Followers:
    """So many subscribers, on as few connections as may be."""

    def __init__(self, port: int, count: int, request: bytes) -> None:
        """Subscribe `count` times, each with this encoded request."""
        self._channels = [
            grpc.aio.insecure_channel(f"127.0.0.1:{port}", OWN_CONNECTION)
            for _ in range(-(-count // PER_CHANNEL))
        ]
        methods: list[Any] = [channel.unary_stream(METHOD) for channel in self._channels]
        self.calls = [methods[number // PER_CHANNEL](request) for number in range(count)]

    async def started(self) -> None:
        """Wait until each was told that it stands."""
        await asyncio.gather(*(call.read() for call in self.calls))

    async def get(self, events: int) -> float:
        """Read until each has so many completions; tell the seconds."""
        began = time.perf_counter()
        await asyncio.gather(*(_count(call, events) for call in self.calls))
        return time.perf_counter() - began

    async def close(self) -> None:
        """Leave."""
        for channel in self._channels:
            await channel.close()


async def _count(call: Any, events: int) -> None:  # noqa: ANN401 - grpc's call of raw bytes
    while events > 0:
        raw = await call.read()
        if raw is grpc.aio.EOF:
            raise RuntimeError(f"the stream ended {events} completions too early")
        events -= len(Parts.FromString(raw).completions)


async def main() -> None:
    """Follow, and print the seconds."""
    port, subscribers, events, request, *live = sys.argv[1:]
    followers = Followers(int(port), int(subscribers), bytes.fromhex(request))
    if live:
        await followers.started()
        print(flush=True)
    print(await followers.get(int(events)))
    await followers.close()


if __name__ == "__main__":
    uvloop.run(main())
