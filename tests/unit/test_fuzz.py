"""Whatever bytes come, only the refusals that have a name leave what reads them: as `make fuzz`."""

import pytest

from fuzz import chance
from fuzz.requests import KINDS, READERS
from fuzz.targets import TARGETS


def test_every_request_has_a_reader_that_is_fuzzed() -> None:
    assert set(KINDS) == set(READERS)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read(name: str) -> None:
    for seed in TARGETS[name].seeds():
        TARGETS[name](seed)


@pytest.mark.seconds
@pytest.mark.parametrize("name", TARGETS)
def test_seeds_that_were_changed_are_read_or_refused(name: str) -> None:
    chance.check(TARGETS[name], examples=500)
