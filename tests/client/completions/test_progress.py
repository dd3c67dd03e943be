"""Which cursor is worth storing, and when: never ahead of what was handled."""

from client.completions.subscribed import Clock
from orderintake.streams.progress import IDLE_SECONDS, Progress


def begun(clock: Clock | None = None, cursor: str = "c0") -> Progress:
    """A progress whose beginning is stored."""
    progress = Progress("", clock=clock or Clock())
    progress.advance(cursor)
    progress.saved(cursor)
    return progress


def test_where_it_begins_is_stored_at_once() -> None:
    progress = Progress("", clock=Clock())
    assert progress.to_save() is None
    progress.advance("c0")
    assert progress.to_save() == "c0"


def test_what_was_handed_out_is_stored_when_more_is_asked_for() -> None:
    progress = begun()
    progress.delivered("c1")
    progress.delivered("c2")
    assert progress.to_save() is None
    progress.handled()
    assert progress.to_save() == "c2"
    progress.saved("c2")
    assert progress.to_save() is None


def test_a_cursor_that_only_moves_is_stored_now_and_then() -> None:
    clock = Clock()
    progress = begun(clock)
    progress.advance("c1")
    assert progress.to_save() is None
    clock.now = IDLE_SECONDS
    assert progress.to_save() == "c1"
    progress.saved("c1")
    progress.advance("c2")
    assert progress.to_save() is None
    clock.now = 2 * IDLE_SECONDS
    assert progress.to_save() == "c2"


def test_after_work_it_is_stored_at_once_however_late_the_last_time_was() -> None:
    progress = begun(Clock())
    progress.delivered("c1")
    progress.handled()
    progress.advance("c5")
    assert progress.to_save() == "c5"


def test_who_leaves_has_handled_all_and_who_fails_has_not_handled_the_last() -> None:
    progress = begun()
    progress.delivered("c1")
    progress.handled()
    progress.delivered("c2")
    assert progress.to_save_at_end(failed=True) == "c1"
    assert progress.to_save_at_end(failed=False) == "c2"


def test_nothing_is_stored_that_is_not_known() -> None:
    progress = Progress("", clock=Clock())
    assert progress.to_save_at_end(failed=True) is None
    assert progress.to_save_at_end(failed=False) is None
