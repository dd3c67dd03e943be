"""What options cost: callers known, TLS, metrics scraped, the access log, traces.

Each is a server of its own that takes orders, beside one that knows nobody and tells nothing. The
same once more tells what such a ratio is worth.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread

import load
import trustme
from servers import Server, order_server
from turns import Case, Part, Turn, timed

from parts.core import seen

sys.path.append(str(Path(__file__).parents[2] / "tests"))  # how tests know callers, we do too
from support.callers import bearing, entry, key_of, write_access
from support.issuer import ISSUER, Key, claims, write_jwks

KEYS = 1_000
"""So many callers the file knows."""
NAMES = [f"shop{number}" for number in range(KEYS)]
Way = tuple[tuple[str, ...], str]
"""A server's options, and the token that it is called with."""


@dataclass(frozen=True, kw_only=True)
class Called:
    """A server, and how it is called."""

    server: Server
    scheme: str
    headers: tuple[str, ...]


@dataclass(frozen=True)
class Option:
    """Our server with an option."""

    prepare: Callable[[Path], Way]
    is_ours = True

    @contextmanager
    def start(self, folder: Path, tree: Path | None) -> Iterator[Called]:
        """Run it."""
        options, token = self.prepare(folder)
        named = bearing(token) if token else ()
        with order_server(folder / "data", "--workers", "0", *options, tree=tree) as server:
            yield Called(
                server=server,
                scheme="https" if "--tls-cert" in options else "http",
                headers=tuple(f"{name}: {value}" for name, value in named),
            )


def plain(*options: str) -> Option:
    """Run it with options that need nothing beside."""
    return Option(lambda _: (options, ""))


def by_key(folder: Path) -> Way:
    """Know callers by their keys."""
    file = write_access(
        folder / "access.toml", (entry(name, "customer", customer="*") for name in NAMES)
    )
    return ("--access", str(file)), key_of(NAMES[KEYS // 2])


def by_token(folder: Path) -> Way:
    """Know callers by an issuer's tokens too."""
    known, _ = by_key(folder)
    issuer = Key("bench", "RS256")
    jwks = write_jwks(folder / "keys.json", issuer)
    token = issuer.sign(claims(time.time(), customer="*"))
    return (*known, "--jwt-keys", str(jwks), "--jwt-issuer", ISSUER), token


def by_tls(folder: Path) -> Way:
    """Call by TLS."""
    made = trustme.CA().issue_cert("localhost", "127.0.0.1")
    cert, key = folder / "tls.crt", folder / "tls.key"
    made.cert_chain_pems[0].write_to_path(str(cert))
    made.private_key_pem.write_to_path(str(key))
    key.chmod(0o600)
    return ("--tls-cert", str(cert), "--tls-key", str(key)), ""


def accept(called: Called, orders: int) -> Turn:
    """Place orders, and scrape the server every second if it serves metrics."""
    server, before = called.server, called.server.accepted()
    place = partial(load.place, scheme=called.scheme, headers=called.headers)
    with scraped(server):
        turn = timed(server, orders, lambda: seen(place(server.port, orders)))
    if (found := server.accepted() - before) != orders:
        raise RuntimeError(f"{found} orders were stored, not {orders}")
    return turn


@contextmanager
def scraped(server: Server) -> Iterator[None]:
    """Read a server's metrics every second while inside, if it serves them."""
    over = Event()

    def scrape() -> None:
        while server.metrics and not over.wait(1.0):
            load.get(server.metrics)

    thread = Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


PLAIN = "none: nobody known, nothing told"
OPTIONS = {
    PLAIN: plain("--access-log", "off"),
    "the same once more": plain("--access-log", "off"),
    "callers known by one of 1,000 keys": Option(by_key),
    "callers known by a token, RS256": Option(by_token),
    "TLS": Option(by_tls),
    "metrics, scraped every second": plain("--access-log", "off", "--http", "127.0.0.1:0"),
    "the access log, below --log-level": plain(),
    "the access log, written": plain("--access-log", "info"),
    "the access log, written as JSON": plain("--access-log", "info", "--log-format", "json"),
    "an OpenTelemetry SDK that keeps all spans": plain(
        "--access-log", "off", "--handler", "traced:handle"
    ),
}
PART = Part(
    told="An order accepted, a call each, with an option beside none",
    servers=OPTIONS,
    cases={name: Case(on=name, drive=accept, orders=4_000) for name in OPTIONS},
    turns=7,
)
