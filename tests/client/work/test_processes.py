"""Which exit codes of a worker's processes end all of them, and which are a reason for another."""

import asyncio

import psutil
import pytest

from orderintake.work.command.processes import Processes
from orderintake.work.process import backoff
from support.supervised import until


class Played(Processes):
    """One process, which ends with one code after the other."""

    def __init__(self, *codes: int) -> None:
        super().__init__((), 1, None)
        self.codes = list(codes)

    async def _run_one(self, _: int) -> int:
        await asyncio.sleep(0)
        code = self.codes.pop(0)
        if not self.codes:
            self._stop()
        return code


class Sleeping(Processes):
    """Real processes, which a signal ends."""

    def _command_of(self, _: int) -> list[str]:
        return ["sleep", "60"]

    def pids(self) -> list[int]:
        """Tell which run, or ended and are not reaped yet."""
        return [each.pid for each in self._running if psutil.pid_exists(each.pid)]

    def stop(self) -> None:
        """Do what a signal does."""
        self._stop()


@pytest.mark.parametrize(
    ("codes", "left", "code"),
    [
        ((2, 0, 0), [0, 0], 2),  # it cannot be loaded
        ((77, 0, 0), [0, 0], 77),
        ((-9, 2, 77, 75, 0), [], 0),  # killed; then the lifespan's database was away, and so on
        ((1, 1, 0), [], 0),
    ],
)
async def test_only_the_first_of_them_can_tell_that_no_other_would_work(
    monkeypatch: pytest.MonkeyPatch, codes: tuple[int, ...], left: list[int], code: int
) -> None:
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.0)
    played = Played(*codes)
    assert await played.run() == code
    assert played.codes == left


async def test_one_that_is_told_to_stop_while_it_ends_keeps_its_exit_code() -> None:
    sleeping = Sleeping((), 24, None)
    running = asyncio.create_task(sleeping.run())
    await until(lambda: len(sleeping.pids()) == 24)
    while sleeping.pids():  # also those that have ended, of which asyncio does not know yet
        sleeping.stop()
    assert await running == 0
