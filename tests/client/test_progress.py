"""Which cursor is worth storing, and when: never ahead of what was handled."""

from client.subscribed import Clock
from orderintake.progress import IDLE_SECONDS, Progress


def begun(clock: Clock | None = None, cursor: str = "c0") -> Progress:
    """A progress whose beginning is stored."""
    progress = Progress("", clock=clock or Clock())
    progress.passed(cursor)
    progress.stored(cursor)
    return progress


def test_where_it_begins_is_stored_at_once() -> None:
    progress = Progress("", clock=Clock())
    assert progress.due() is None
    progress.passed("c0")
    assert progress.due() == "c0"


def test_what_was_handed_out_is_stored_when_more_is_asked_for() -> None:
    progress = begun()
    progress.handed_out("c1")
    progress.handed_out("c2")
    assert progress.due() is None
    progress.asked()
    assert progress.due() == "c2"
    progress.stored("c2")
    assert progress.due() is None


def test_a_cursor_that_only_moves_is_stored_now_and_then() -> None:
    clock = Clock()
    progress = begun(clock)
    progress.passed("c1")
    assert progress.due() is None
    clock.now = IDLE_SECONDS
    assert progress.due() == "c1"
    progress.stored("c1")
    progress.passed("c2")
    assert progress.due() is None
    clock.now = 2 * IDLE_SECONDS
    assert progress.due() == "c2"


def test_after_work_it_is_stored_at_once_however_late_the_last_time_was() -> None:
    progress = begun(Clock())
    progress.handed_out("c1")
    progress.asked()
    progress.passed("c5")
    assert progress.due() == "c5"


def test_who_leaves_has_handled_all_and_who_fails_has_not_handled_the_last() -> None:
    progress = begun()
    progress.handed_out("c1")
    progress.asked()
    progress.handed_out("c2")
    assert progress.last(failed=True) == "c1"
    assert progress.last(failed=False) == "c2"


def test_nothing_is_stored_that_is_not_known() -> None:
    progress = Progress("", clock=Clock())
    assert progress.last(failed=True) is None
    assert progress.last(failed=False) is None
