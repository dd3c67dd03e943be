"""What an order costs by HTTP, beside gRPC's own and the article's service, all in one run.

64 calls are in flight: by HTTP/1.1 on as many connections, by gRPC on one.
"""

from functools import partial

import load
from servers import Server
from turns import Bare, Case, Drive, Ours, Part, Turn, timed

from parts.core import accepts, article, lives, seen

HTTP = ("--http", "127.0.0.1:0", "--http-connections", "2000")
CONNECTIONS = load.IN_FLIGHT
ORDERS = 6_000


def http_port(server: Server) -> int:
    """Tell where a server listens that also serves by HTTP."""
    return int(server.metrics.split(":")[2].partition("/")[0])


def posted(server: Server, calls: int, *, kind: str) -> Turn:
    """Post orders to our server, as `json` or as `proto`."""
    url = f"http://127.0.0.1:{http_port(server)}{load.SERVICE}/PlaceOrder"
    return seen(load.post(url, calls, CONNECTIONS, kind=kind))


def post_accepts(server: Server, orders: int, *, kind: str) -> Turn:
    """Post orders; each must be on the disk."""
    before = server.accepted()
    turn = timed(server, orders, lambda: posted(server, orders, kind=kind))
    if (found := server.accepted() - before) != orders:
        raise RuntimeError(f"{found} orders were stored, not {orders}")
    return turn


def post_lives(server: Server, orders: int, *, kind: str) -> Turn:
    """Post orders, and wait until all have ended."""
    before = server.completed()

    def drive() -> Turn:
        turn = posted(server, orders, kind=kind)
        server.wait_for(before + orders)
        return turn

    return timed(server, orders, drive)


def case(on: str, drive: Drive) -> Case:
    """Drive a server by calls."""
    return Case(on=on, drive=drive, orders=ORDERS)


PART = Part(
    told="An order by HTTP, as JSON and as binary, beside gRPC and the article's own service",
    servers={
        "taking": Ours(("--workers", "0", *HTTP)),
        "working": Ours(("--handler", "instant:handle", "--workers", "64", *HTTP)),
        "article": Bare("toy.py"),
    },
    cases={
        "gRPC, accepted": case("taking", partial(accepts, in_flight=load.IN_FLIGHT)),
        "HTTP, JSON, accepted": case("taking", partial(post_accepts, kind="json")),
        "HTTP, binary, accepted": case("taking", partial(post_accepts, kind="proto")),
        "gRPC, whole life": case("working", partial(lives, in_flight=load.IN_FLIGHT)),
        "HTTP, JSON, whole life": case("working", partial(post_lives, kind="json")),
        "HTTP, binary, whole life": case("working", partial(post_lives, kind="proto")),
        "the article's service, in memory": case("article", article),
    },
)
