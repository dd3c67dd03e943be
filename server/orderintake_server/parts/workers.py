"""From the settings to what serves workers in processes of their own."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from orderintake_server.api.work.endpoints import WorkEndpoints
from orderintake_server.api.work.responses import WorkResponses
from orderintake_server.dispatch.retries import ending_of
from orderintake_server.ids import Ids
from orderintake_server.parts.work import work_policy, worker_lease
from orderintake_server.work.ground import Ground
from orderintake_server.work.life import Life
from orderintake_server.work.room import WorkRoom
from orderintake_server.work.running import Running

if TYPE_CHECKING:
    from orderintake_server.config import Settings
    from orderintake_server.dispatch.committer import Committer
    from orderintake_server.dispatch.estimate import ServiceTimes
    from orderintake_server.metrics import Meters
    from orderintake_server.store.base import Store
    from orderintake_server.telemetry.spans import Spans
    from orderintake_server.work.seen import Workforce


def work_room(  # noqa: PLR0913 - the parts it works with
    settings: Settings,
    *,
    store: Store,
    committer: Committer,
    times: ServiceTimes,
    meters: Meters,
    spans: Spans,
) -> WorkRoom:
    """Return the verbs of workers; those that the store knows have a full lease from now on."""
    life = Life(
        lease_seconds=worker_lease(settings), limit=settings.worker_limit, clock=time.monotonic
    )
    life.know([(row.worker_id, row.capacity) for row in store.recovery.workers if not row.is_ended])
    life.is_counting = lambda: meters.commits.obstacle is None
    store.at_work.follow(life.ages)
    order_id = Ids(store.recovery.log_id).order_id
    ground = Ground(
        at_work=store.at_work,
        remote=committer.remote,
        running=Running(times=times, meters=meters, spans=spans, order_id=order_id),
        meters=meters.work,
    )
    decide = partial(ending_of, retries=work_policy(settings).retries)
    return WorkRoom(ground, decide=decide, life=life, is_shared=store.is_shared)


def work_endpoints(
    settings: Settings, room: WorkRoom, workforce: Workforce, ids: Ids
) -> WorkEndpoints:
    """Return the endpoints of the calls of workers, and of those about them."""
    responses = WorkResponses(ids, attempt_seconds=settings.attempt_timeout or None)
    return WorkEndpoints(room, workforce, responses=responses, ids=ids)
