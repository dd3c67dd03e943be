"""What one peer takes from the others: a polite caller's worst wait, and the server's memory.

Each attack meets a server of ours, and a bare one with the same bounds. Beside each wait stands how
long the server worked meanwhile: what others do on the same machine is not in it.
"""

import asyncio
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import load
from polite import Polite
from servers import Server
from turns import Bare, Case, Ours, Part, Start, Turn

sys.path.append(str(Path(__file__).parents[2] / "tests"))  # who attacks there does so here too
from support.hostile_attacks import ATTACKS

STREAMS = "64"
"""What a connection may have at once."""
ATTACK_SECONDS = 5
BACK_SECONDS = 100
"""In so long memory is back: it is looked at every 10 s, and given back once a minute, twice."""
MIB = 1024 * 1024


def _attacking(server: Server, name: str) -> subprocess.Popen[bytes]:
    words = ("-m", "support.hostile_attacks", f"127.0.0.1:{server.port}", name, str(ATTACK_SECONDS))
    found_there = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, *words], env=found_there)


async def _most_memory(server: Server, name: str) -> int:
    """Attack once; tell how much memory the server held at the most."""
    attacking, most = _attacking(server, name), 0
    while attacking.poll() is None:
        await asyncio.sleep(0.05)
        most = max(most, server.memory())
    if attacking.returncode:
        raise RuntimeError(f"the attack failed: {name}")
    await asyncio.sleep(1)
    return most


async def _attacked(server: Server, name: str, *, waits: bool) -> Turn:
    polite = Polite(server)
    placing = asyncio.create_task(polite.place_on())
    await asyncio.sleep(1)
    before = server.memory()
    during = await _most_memory(server, name)
    placing.cancel()
    if waits and server.memory() > before + 20 * MIB:
        await asyncio.sleep(BACK_SECONDS)
    return {
        "wait_s": max(polite.waited),
        "work_s": max(polite.worked),
        "failures": polite.failures,
        "before_mib": before / MIB,
        "during_mib": during / MIB,
        "after_mib": server.memory() / MIB,
    }


def attacked(server: Server, _: int, *, name: str, waits: bool) -> Turn:
    """Attack once; tell what came of it. One who waits waits for memory to come back."""
    return load.run(_attacked(server, name, waits=waits))


SERVERS: dict[str, Start] = {
    "bare": Bare("bare_port.py", (STREAMS,)),
    "ours": Ours(("--max-streams", STREAMS)),
}
PART = Part(
    told="A polite caller's worst wait while a hostile peer attacks",
    servers={f"{name}, {whose}": SERVERS[whose] for name in ATTACKS for whose in SERVERS},
    cases={
        f"{name}, {whose}": Case(
            on=f"{name}, {whose}",
            drive=partial(attacked, name=name, waits=whose == "ours"),
            orders=1,
            fixed=True,
        )
        for name in ATTACKS
        for whose in SERVERS
    },
    turns=1,
    warm_up=0,
)
