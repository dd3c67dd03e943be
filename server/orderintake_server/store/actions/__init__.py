"""What operators did, recorded in the commit that did it: what both engines share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from orderintake_server.domain import Action, Operator, Tier
from orderintake_server.views import BulkDone, OperatorAction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from orderintake_server.domain import CancelOutcome

COLUMNS = (
    *("sequence", "time", "caller", "credential", "action"),
    *("tier", "accept_sequence", "detail", "peer", "request_id", "until"),
)
"""Of the table operator_actions; 0 stands for no tier, and for no order."""
READ = ", ".join(COLUMNS)


def action_of(row: Sequence[Any]) -> OperatorAction:
    """Make an action of a row of COLUMNS."""
    sequence, time, caller, credential, action, tier, accept_sequence, detail, *whence = row
    peer, request_id, until = whence
    return OperatorAction(
        sequence=sequence,
        time=time,
        action=Action(action),
        by=Operator(
            name=caller, credential=credential, peer=peer, request_id=request_id, until=until
        ),
        tier=Tier(tier) if tier else None,
        accept_sequence=accept_sequence or None,
        detail=detail,
    )


def bulk_of(rows: Sequence[Sequence[Any]]) -> BulkDone | None:
    """Tell what a call did to many orders, by a row: action, last order, end, and how many."""
    for action, last, until, count in rows:
        return BulkDone(action=Action(action), count=count, last=last, until=until)
    return None


def detail_of_copy(accept_sequence: int) -> str:
    """Return the detail of a redrive that placed this copy."""
    return json.dumps({"copy": accept_sequence})


def detail_of_cancel(outcome: CancelOutcome) -> str:
    """Return the detail of a cancel with this outcome."""
    return json.dumps({"outcome": outcome.name})
