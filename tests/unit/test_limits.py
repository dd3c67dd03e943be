"""How many connections there may be: never as many as the files that there are."""

import resource

import pytest

from orderintake_server.errors import StartupFailed
from orderintake_server.rpc.port import limits


class Files:
    """The process's limit of open files, as a test sets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.both = (1_024, 4_096)
        monkeypatch.setattr(resource, "getrlimit", lambda _: self.both)
        monkeypatch.setattr(resource, "setrlimit", self._set)
        self.is_refused = False

    def _set(self, _: int, both: tuple[int, int]) -> None:
        if self.is_refused:
            raise ValueError("not allowed to raise maximum limit")
        self.both = both


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    return Files(monkeypatch)


UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1_024, 4_096), 4_096),
        ((4_096, 4_096), 4_096),
        ((1_024, 1_048_576), 65_536),
        ((100_000, 1_048_576), 100_000),
        ((1_024, UNLIMITED), 65_536),
        ((UNLIMITED, UNLIMITED), UNLIMITED),
    ],
)
def test_the_soft_limit_is_raised_as_far_as_makes_sense(
    files: Files, before: tuple[int, int], after: int
) -> None:
    files.both = before
    limits.raise_file_limit()
    assert files.both == (after, before[1])


def test_a_system_that_does_not_let_it_be_raised_is_borne(files: Files) -> None:
    files.is_refused = True
    limits.raise_file_limit()
    assert files.both == (1_024, 4_096)


@pytest.mark.parametrize(
    ("soft", "workers", "connections"),
    [
        (65_536, 8, 65_536 - 256 - 8),
        (1_024, 8, 1_024 - 256 - 8),
        (1_024, 10_000, 512),
        (256, 8, 128),
        (128, 8, 64),
        (UNLIMITED, 0, 65_536 - 256),
    ],
)
def test_the_server_keeps_files_for_itself(
    files: Files, soft: int, workers: int, connections: int
) -> None:
    files.both = (soft, soft)
    assert limits.most_connections(workers) == connections


def test_fewer_connections_may_be_wanted_and_more_end_the_start(files: Files) -> None:
    files.both = (1_024, 1_024)
    assert limits.most_connections(8, 100) == 100
    assert limits.most_connections(8, 760) == 760
    with pytest.raises(StartupFailed, match="761 are more than the 760"):
        limits.most_connections(8, 761)


def test_too_few_files_are_told_at_the_start(files: Files) -> None:
    files.both = (127, 127)
    with pytest.raises(StartupFailed, match="ulimit -n"):
        limits.most_connections(8)


@pytest.mark.parametrize(("soft", "most"), [(65_536, 1_000), (1_024, 256), (UNLIMITED, 1_000)])
def test_another_listener_has_a_quarter_of_the_files_at_the_most(
    files: Files, soft: int, most: int
) -> None:
    files.both = (soft, soft)
    assert limits.share_of_files(1_000) == most
