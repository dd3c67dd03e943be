"""The first steps of a worker process: it lets the server go first, before it loads anything."""

from __future__ import annotations

import os
import sys

from orderintake_server.supervisor.instructions import Instructions
from orderintake_server.supervisor.talk import UNUSABLE, Talk

NICENESS = 5
"""Where cores are few, the intake comes first: handlers weigh a third of it with the scheduler.

A thread of the server may still wait some milliseconds for a core that one of them has.
"""


def main() -> None:
    """Give way, and process orders as the arguments say."""
    told = Instructions.read(sys.argv[1:])
    talk = Talk(told.talk)
    if refusal := _give_way(told.scheduling):
        talk.say(refusal)
        sys.exit(UNUSABLE)
    from orderintake_server.supervisor import child  # noqa: PLC0415 - it loads for 0.3 s

    child.main(told, talk)


def _give_way(scheduling: str) -> str:
    """Let the server go first, before there are threads; give nothing, or why that cannot be."""
    if scheduling == "normal":
        os.nice(NICENESS)
        return ""
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError) as error:
        return f"worker_scheduling: this system does not do idle: {error}"
    return ""


if __name__ == "__main__":
    main()
