"""Inputs by chance: seeds with bytes changed, left out, repeated, or of another seed."""

import hypothesis
from hypothesis import strategies as st

from fuzz.targets import Target

Edit = tuple[int, int, bytes]
"""Where a piece is, how long it is, and what comes in its place."""


def inputs(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Give inputs that begin as seeds, and some that are nothing but bytes."""
    whole = st.sampled_from(seeds)
    size = max(map(len, seeds)) + 1
    pieces = st.one_of(
        st.binary(max_size=8),
        st.text(max_size=4).map(lambda text: text.encode(errors="surrogatepass")),
        whole.flatmap(lambda seed: st.integers(0, len(seed)).map(lambda at: seed[at:])),
    )
    edits = st.lists(st.tuples(st.integers(0, size), st.integers(0, 8), pieces), max_size=4)
    return st.binary(max_size=64) | st.builds(edited, whole, edits)


def edited(seed: bytes, edits: list[Edit]) -> bytes:
    """Put other pieces into a seed."""
    for at, length, piece in edits:
        seed = seed[:at] + piece + seed[at + length :]
    return seed


def check(target: Target, *, examples: int) -> None:
    """Check so many inputs; raises what one of them raises, which is made as small as it can be."""

    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(inputs(target.seeds()))
    def holds(data: bytes) -> None:
        target(data)

    holds()
