"""What trust costs: the processor time of one PlaceOrder with callers known, measured, and by TLS.

Each server takes turns with one that knows nobody, under the same load by h2load: what else runs on
the machine disturbs both. The first row is what that measurement tells of two that are the same.

PYTHONPATH=tests python bench/trust.py
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import load
import trustme
from place_order import Turn, scraped
from servers import Server, order_server

from support.callers import bearing, entry, key_of, write_access
from support.issuer import ISSUER, Key, claims, write_jwks

PLAIN = "anybody, not measured"
WARM_UP = 2_000
KEYS = 1_000
"""So many callers the file knows."""


class Pair(NamedTuple):
    """Two turns, one after the other."""

    plain: Turn
    other: Turn


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a server is started, and how it is called."""

    options: tuple[str, ...] = ()
    token: str = ""
    has_tls: bool = False

    def drive(self, server: Server, calls: int) -> Turn:
        """Place so many orders."""
        before = server.cpu()
        scheme = "https" if self.has_tls else "http"
        headers = (
            f"{name}: {value}" for name, value in (bearing(self.token) if self.token else ())
        )
        rate = load.by_h2load(f"{scheme}://127.0.0.1:{server.port}", calls, *headers)
        return Turn(rate, (server.cpu() - before) / calls * 1e6)


def ways(folder: Path) -> dict[str, Way]:
    """Give all ways; the first is what each other is compared with."""
    names = [f"shop{number}" for number in range(KEYS)]
    file = write_access(
        folder / "access.toml", (entry(name, "customer", customer="*") for name in names)
    )
    key, issuer = key_of(names[KEYS // 2]), Key("bench", "RS256")
    token = issuer.sign(claims(time.time(), customer="*"))
    jwks = write_jwks(folder / "keys.json", issuer)
    known = ("--access", str(file))
    by_token = (*known, "--jwt-keys", str(jwks), "--jwt-issuer", ISSUER)
    measured, tls = ("--http", "127.0.0.1:0"), _tls(folder)
    return {
        PLAIN: Way(),
        "the same once more": Way(),
        "by a key, measured": Way(options=(*known, *measured), token=key),
        "by a token, measured": Way(options=(*by_token, *measured), token=token),
        "anybody, by TLS": Way(options=tls, has_tls=True),
        "by a key, measured, by TLS": Way(
            options=(*known, *measured, *tls), token=key, has_tls=True
        ),
    }


def _tls(folder: Path) -> tuple[str, ...]:
    made = trustme.CA().issue_cert("localhost", "127.0.0.1")
    cert, key = folder / "tls.crt", folder / "tls.key"
    made.cert_chain_pems[0].write_to_path(str(cert))
    made.private_key_pem.write_to_path(str(key))
    key.chmod(0o600)
    return ("--tls-cert", str(cert), "--tls-key", str(key))


def main() -> None:
    """Measure in turns and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000, help="calls in each turn")
    parser.add_argument("--turns", type=int, default=25, help="turns of each server")
    arguments = parser.parse_args()
    if load.driver() != "h2load":
        raise SystemExit("this needs h2load (on Debian: apt-get install nghttp2-client)")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd())))
        asked = ways(folder)
        servers = {
            name: stack.enter_context(
                order_server(folder / str(number), "--workers", "8", *way.options)
            )
            for number, (name, way) in enumerate(asked.items())
        }
        found = in_turns(asked, servers, calls=arguments.calls, turns=arguments.turns)
    report(found)


def in_turns(
    asked: Mapping[str, Way], servers: Mapping[str, Server], *, calls: int, turns: int
) -> dict[str, list[Pair]]:
    """Drive each server and the first one in turn, every other time that one first."""
    for name, way in asked.items():
        way.drive(servers[name], WARM_UP)
    others = [name for name in asked if name != PLAIN]
    found: dict[str, list[Pair]] = {name: [] for name in others}
    for number in range(turns):
        for name in others:
            pair = (PLAIN, name) if number % 2 else (name, PLAIN)
            with scraped(servers[name]):
                driven = {each: asked[each].drive(servers[each], calls) for each in pair}
            found[name].append(Pair(driven[PLAIN], driven[name]))
    return found


def report(found: Mapping[str, list[Pair]]) -> None:
    """Print the medians of each way, and of the ratio to the turn beside it."""
    print(f"| PlaceOrder | calls a second | µs of the server each | of {PLAIN!r}, turn by turn |")
    print("| --- | --- | --- | --- |")
    for name, pairs in found.items():
        rate, microseconds = (median(each) for each in zip(*(p.other for p in pairs), strict=True))
        low, middle, high = quantiles([p.other.microseconds / p.plain.microseconds for p in pairs])
        ratios = f"{middle:.3f} (half of them {low:.2f} to {high:.2f})"
        print(f"| {name} | {rate:,.0f} | {microseconds:.0f} | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
