"""W3C's traceparent: what is one is kept to the bit, and what is none is left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderintake_server.telemetry import traces

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


def test_a_traceparent_is_kept_in_25_bytes_and_written_as_it_was() -> None:
    kept = traces.read(PARENT)
    assert kept is not None
    assert len(kept) == 25
    assert traces.written(kept) == PARENT
    assert traces.trace_id(kept) == TRACE


def test_what_a_newer_version_adds_is_left_out() -> None:
    kept = traces.read(f"cc-{TRACE}-{SPAN}-01-more")
    assert kept is not None
    assert traces.written(kept) == PARENT


@pytest.mark.parametrize(
    "text",
    [
        "",
        PARENT.upper(),
        f" {PARENT}",
        f"{PARENT}\n",
        f"{PARENT}-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{32 * '0'}-{SPAN}-01",
        f"00-{TRACE}-{16 * '0'}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0g",
        f"0-{TRACE}-{SPAN}-01",
    ],
)
def test_what_is_no_traceparent_is_none(text: str) -> None:
    assert traces.read(text) is None


@given(st.text())
def test_any_other_text_is_none(text: str) -> None:
    assert traces.read(text) is None
    assert traces.read(f"00-{TRACE}-{SPAN}-01{text}" if text else "") is None


@given(st.binary(min_size=25, max_size=25).filter(lambda b: any(b[:16]) and any(b[16:24])))
def test_whatever_the_ids_are_they_come_back(kept: bytes) -> None:
    assert traces.read(traces.written(kept)) == kept
