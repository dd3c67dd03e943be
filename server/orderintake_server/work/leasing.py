"""LeaseOrders: what came of attempts is recorded, and free slots are given orders."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from orderintake_server.store.work import word_of
from orderintake_server.work.repeats import Repeats
from orderintake_server.work.waits import Waits
from orderintake_server.work.words import Leased

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable, Sequence

    from orderintake.work.outcome import Outcome
    from orderintake_server.domain import Ending, State
    from orderintake_server.holders import Holder, LentLease
    from orderintake_server.work.ground import Ground
    from orderintake_server.work.waits import Wait
    from orderintake_server.work.words import LeaseAsked, Report

    Decide = Callable[[Outcome, int], Ending]
    """Tells what comes of an order by the outcome of an attempt, after so many of them."""
    Offer = Future[list[LentLease]]

SHORT_SECONDS = 1.0
"""A shorter wait may be over before the commit that would give an order."""


class Leasing:
    """The calls of LeaseOrders, as long as they wait and are answered."""

    def __init__(self, ground: Ground, decide: Decide, *, tells_repeats: bool) -> None:
        """Look into the store what a repeated call was given, unless it tells that by itself."""
        self._at_work, self._remote = ground.at_work, ground.remote
        self._running, self._meters = ground.running, ground.meters
        self._decide = decide
        self._tells_repeats = tells_repeats
        self.repeats = Repeats()
        self.waits: Waits = Waits()
        self.offered = 0
        """How many slots the calls that wait offer."""

    async def lease(self, asked: LeaseAsked, *, is_open: bool) -> Leased:
        """Do what a call asks; without `is_open` it is given nothing.

        Raises WorkerLimit or StorageUnavailable.
        """
        holder = asked.holder
        with self.waits.waiting(holder.worker_id, holder.call or None) as wait:
            told = await self._told(holder, wait)
            reported = [self._report(report) for report in asked.reports]
            try:
                if not (told or wait.offer or wait.is_over) and asked.slots and is_open:
                    wait.offer = self._remote.offer(holder, asked.slots)
                states = await asyncio.gather(*reported) if reported else []
                if wait.offer is not None and not reported:
                    await self._wait_for(wait.offer, wait, asked)
                leases = told or self._taken(holder, wait.offer)
            except BaseException:
                self._give_back(holder, wait.offer)
                raise
        for report, state in zip(asked.reports, states, strict=True):
            self._running.told(report, state)
        known = self._running.begin(holder.worker_id, leases)
        self._meters.lose("repeat", len(told) or known)
        return Leased(states=states, leases=leases)

    def _report(self, report: Report) -> Future[State | None]:
        key, outcome = report.key, report.outcome
        return self._remote.report(
            key, None if outcome is None else self._decide(outcome, key.tries)
        )

    async def _told(self, holder: Holder, wait: Wait) -> Sequence[LentLease]:
        """Return what a repeated call was given before, as far as that is good."""
        if self._tells_repeats or not self.repeats.may_have_leases(holder) or wait.offer:
            return ()
        return await self._at_work.leases_of(holder)

    async def _wait_for(self, offer: Offer, wait: Wait, asked: LeaseAsked) -> None:
        """Wait until there is an order, or the call is to be answered without one.

        What is there already is given in a commit, however short the wait is.
        """
        self.offered += asked.slots
        either: set[Future[Any]] = {offer, wait.woken}
        try:
            if asked.wait < SHORT_SECONDS:
                await self._remote.word(word_of(asked.holder))
            await asyncio.wait(either, timeout=asked.wait, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.offered -= asked.slots

    def _taken(self, holder: Holder, offer: Offer | None) -> Sequence[LentLease]:
        """Return what an offer has got; withdraw it if that is nothing yet."""
        if offer is None:
            return ()
        if offer.cancel() or offer.cancelled():
            self.repeats.left(holder)  # a commit that is under way may give it something
            return ()
        return offer.result()

    def _give_back(self, holder: Holder, offer: Offer | None) -> None:
        """Give back what an offer has got, or get it nothing: nobody hears the answer."""
        if offer is None:
            return
        self.repeats.left(holder)
        if offer.cancel() or offer.cancelled() or offer.exception():
            return
        for lease in offer.result():
            self._remote.release(lease)

    def forget(self, worker_id: str) -> None:
        """Forget a worker that has ended; its calls that wait end."""
        self.repeats.forget(worker_id)
        self.waits.end(worker_id)
