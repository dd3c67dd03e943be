"""P14 from the subscriber's side: whatever happens to the streams, each completion comes once."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.completions.subscribed import GONE, established, subscribed
from client.fake_server import message, started
from orderintake.errors import (
    CompletionGap,
    ContractBroken,
    DeadlineExceeded,
    Unavailable,
)
from orderintake.requests import VIP, stream_completions
from orderintake.streams.subscription import Subscription
from orderintake.v1 import order_intake_service_pb2 as api

STREAMS = st.lists(
    # How many completions a message has, how many messages are heard, and what then happens.
    st.tuples(
        st.integers(1, 5), st.integers(0, 6), st.sampled_from(["error", "end", "expired", "leave"])
    ),
    max_size=12,
)


@given(data=st.data(), log=st.integers(0, 12), streams=STREAMS)
def test_p14_however_streams_are_cut_each_completion_is_handed_out_once(
    data: st.DataObject, log: int, streams: list[tuple[int, int, str]]
) -> None:
    seen: list[int] = []
    subscription = subscribed()
    for size, heard, cut in [*streams, (3, 99, "leave")]:
        for answer in islice(answers(subscription.request(), log, size), heard):
            subscription.received(answer)
            wanted = data.draw(st.integers(0, 4))
            seen += islice(taken(subscription), wanted)
        if cut != "leave":
            seen += taken(subscription)
        if cut == "expired":
            if not subscription.goes_on_renewed():  # then the owner is told, who leaves
                subscription.end()
        elif cut != "leave":
            with suppress(Unavailable, DeadlineExceeded):  # it never began, in five attempts
                subscription.lost(GONE if cut == "error" else None)
        if cut == "leave" or subscription.ended:  # another one goes on from the stored cursor
            subscription = subscribed(stream_completions(after=subscription.cursor))
    for answer in answers(subscription.request(), log, 3):
        subscription.received(answer)
    seen += taken(subscription)
    assert seen == list(range(1, log + 1))
    assert subscription.cursor == f"c{log}"


def answers(
    request: api.StreamCompletionsRequest, log: int, size: int
) -> Iterator[api.StreamCompletionsResponse]:
    """What a right server answers."""
    position = int(request.after_cursor.removeprefix("c") or 0)
    yield started(f"c{position}")
    while position < log:
        end = min(position + size, log)
        yield message(*range(position + 1, end + 1))
        position = end
    yield message(cursor=f"c{position}", signal=api.SIGNAL_CAUGHT_UP)
    yield message(cursor=f"c{position}", signal=api.SIGNAL_HEARTBEAT)


def taken(subscription: Subscription) -> Iterator[int]:
    """Take what there is, one by one as it is asked for."""
    while subscription.established and (completion := subscription.next_completion()):
        yield completion.sequence


def test_it_asks_for_the_earliest_until_it_has_a_cursor() -> None:
    subscription = subscribed()
    assert subscription.request().start_at == api.START_AT_EARLIEST
    subscription.lost()
    assert subscription.request().start_at == api.START_AT_EARLIEST
    subscription.received(started("c0"))
    subscription.lost()
    assert subscription.request().after_cursor == "c0"


def test_it_asks_for_the_latest_only_until_it_stands() -> None:
    subscription = subscribed(stream_completions(from_latest=True, max_batch_size=5))
    assert subscription.request().start_at == api.START_AT_LATEST
    subscription.received(started("c41"))
    subscription.lost()
    again = subscription.request()
    assert (again.after_cursor, again.max_batch_size) == ("c41", 5)
    assert again.WhichOneof("start") == "after_cursor"


def test_the_cursor_is_after_what_was_delivered() -> None:
    subscription = established(stream_completions(after="c0"))
    subscription.received(message(1, 2, 3, cursor="c3+"))
    cursors = [subscription.cursor]
    while subscription.next_completion():
        cursors.append(subscription.cursor)
    assert cursors == ["c0", "c1", "c2", "c3+"]
    subscription.received(message(cursor="c9", signal=api.SIGNAL_HEARTBEAT))
    assert subscription.cursor == "c9"


def test_what_was_received_is_not_asked_for_again() -> None:
    subscription = established()
    subscription.received(message(1, 2))
    subscription.lost()
    assert subscription.request().after_cursor == "c2"
    assert list(taken(subscription)) == [1, 2]


@pytest.mark.parametrize("signal", [api.SIGNAL_UNSPECIFIED, api.SIGNAL_CAUGHT_UP])
def test_a_stream_must_begin_with_started(signal: api.Signal.ValueType) -> None:
    subscription = established()
    subscription.lost()
    subscription.request()
    with pytest.raises(ContractBroken, match="SIGNAL_STARTED"):
        subscription.received(message(cursor="c1", signal=signal))
    assert subscription.ended


def test_a_message_must_have_a_cursor() -> None:
    subscription = established()
    with pytest.raises(ContractBroken, match="no cursor"):
        subscription.received(api.StreamCompletionsResponse())


@pytest.mark.parametrize("sequences", [(1, 3), (1, 1), (2, 1)])
def test_a_hole_or_a_repeat_inside_a_message_is_a_gap(sequences: tuple[int, int]) -> None:
    subscription = established()
    with pytest.raises(CompletionGap) as caught:
        subscription.received(message(*sequences))
    assert (caught.value.expected, caught.value.received) == (sequences[0] + 1, sequences[1])
    assert subscription.ended
    assert subscription.cursor == "c0"


@pytest.mark.parametrize("sequence", [2, 4])
def test_a_hole_or_a_repeat_between_two_streams_is_a_gap(sequence: int) -> None:
    subscription = established()
    subscription.received(message(1, 2))
    subscription.lost()
    subscription.request()
    subscription.received(started("c2"))
    with pytest.raises(CompletionGap):
        subscription.received(message(sequence))


def test_with_a_filter_a_hole_is_no_gap_but_a_repeat_is() -> None:
    for wanted in (stream_completions(customer_id="ada"), stream_completions(tier=VIP)):
        subscription = established(wanted)
        subscription.received(message(2, 5))
        subscription.received(message(9))
        assert list(taken(subscription)) == [2, 5, 9]
        with pytest.raises(CompletionGap):
            subscription.received(message(9))


def test_a_filter_holds_when_it_comes_back() -> None:
    subscription = established(stream_completions(customer_id="ada", tier=VIP))
    subscription.lost()
    again = subscription.request()
    assert (again.customer_id, again.tier, again.after_cursor) == ("ada", VIP, "c0")


def test_a_batch_is_all_that_is_there_with_the_cursor_after_it() -> None:
    subscription = established()
    assert subscription.next_batch() is None
    subscription.received(message(1, 2, cursor="c2+"))
    subscription.received(message(3, cursor="c3+"))
    assert subscription.next_completion()
    batch = subscription.next_batch()
    assert batch is not None
    assert [completion.sequence for completion in batch.completions] == [2, 3]
    assert batch.cursor == subscription.cursor == "c3+"
    assert subscription.next_batch() is None


def test_batches_are_taken_from_a_subscription_that_stands() -> None:
    with pytest.raises(RuntimeError):
        subscribed().next_batch()


def test_a_stored_cursor_wins_over_where_it_was_to_begin() -> None:
    subscription = subscribed(stream_completions(from_latest=True))
    subscription.resume_from("c7")
    request = subscription.request()
    assert (request.WhichOneof("start"), request.after_cursor) == ("after_cursor", "c7")
    assert subscription.cursor == "c7"
    assert subscription.progress.to_save_at_end(failed=False) is None


def test_it_goes_on_once_with_another_token_until_that_is_accepted() -> None:
    subscription = established()
    for _ in range(3):
        assert subscription.goes_on_renewed()
        assert not subscription.goes_on_renewed()
        subscription.request()
        subscription.received(started())
    subscription.end()
    assert not subscription.goes_on_renewed()


def test_a_token_that_never_lives_does_not_make_it_spin() -> None:
    subscription = subscribed(jitter=1.0)
    pauses: list[float] = []
    for _ in range(8):
        subscription.request()
        subscription.received(started())
        assert subscription.goes_on_renewed()
        pauses.append(subscription.backoff)
    assert pauses == [0.0, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
