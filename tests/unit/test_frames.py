"""Where messages of PostgreSQL begin, and which lengths they cannot have."""

import struct

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderintake_server.store.postgres.wire.frames import LEAST_LENGTH, MOST_LENGTH, Frames

IMPOSSIBLE = st.integers(-(2**31), LEAST_LENGTH - 1) | st.integers(MOST_LENGTH + 1, 2**31 - 1)


def message(body: bytes) -> bytes:
    return b"D" + struct.pack("!i", len(body) + LEAST_LENGTH) + body


def feed(frames: Frames, sent: bytes, cuts: list[int]) -> None:
    """Give what was sent in pieces."""
    for size in cuts:
        frames.check(sent[:size])
        sent = sent[size:]
    frames.check(sent)


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(0, 20)))
def test_messages_pass_however_they_are_cut(bodies: list[bytes], cuts: list[int]) -> None:
    frames = Frames()
    feed(frames, b"".join(map(message, bodies)), cuts)
    frames.check(message(b"one more"))


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(0, 20)), IMPOSSIBLE)
def test_an_impossible_length_is_found_wherever_it_stands(
    bodies: list[bytes], cuts: list[int], length: int
) -> None:
    sent = b"".join(map(message, bodies)) + b"Z" + struct.pack("!i", length)
    with pytest.raises(asyncpg.exceptions.ProtocolError):
        feed(Frames(), sent, cuts)
