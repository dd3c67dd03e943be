"""What operators did, recorded in the commit that did it: what both engines share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from orderintake_server.domain import Action, Operator, Tier
from orderintake_server.views import OperatorAction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from orderintake_server.domain import CancelOutcome

COLUMNS = (
    *("sequence", "time", "caller", "credential", "action"),
    *("tier", "accept_sequence", "detail", "peer"),
)
"""Of the table operator_actions; 0 stands for no tier, and for no order."""
READ = ", ".join(COLUMNS)


def action_of(row: Sequence[Any]) -> OperatorAction:
    """Make an action of a row of COLUMNS."""
    sequence, time, caller, credential, action, tier, accept_sequence, detail, peer = row
    return OperatorAction(
        sequence=sequence,
        time=time,
        action=Action(action),
        by=Operator(name=caller, credential=credential, peer=peer),
        tier=Tier(tier) if tier else None,
        accept_sequence=accept_sequence or None,
        detail=detail,
    )


def detail_of_copy(accept_sequence: int) -> str:
    """Return the detail of a redrive that placed this copy."""
    return json.dumps({"copy": accept_sequence})


def detail_of_cancel(outcome: CancelOutcome) -> str:
    """Return the detail of a cancel with this outcome."""
    return json.dumps({"outcome": outcome.name})
