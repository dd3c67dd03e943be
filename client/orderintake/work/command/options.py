"""The options of `orderintake worker`; nothing but the standard library reads them."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orderintake.access.given import (
    SERVER_VARIABLE,
    checked_path,
    encryption,
    identity,
    variable_of,
)
from orderintake.channel import checked_target
from orderintake.work.remote.worker import DRAIN_SECONDS, MOST_SLOTS, SERVER, SLOTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST_PROCESSES = 1_000
MOST_SECONDS = 31_536_000
LEVELS = ("debug", "info", "warning", "error")
_SECRETS = ("api_key_file", "token_file")
_CERTIFICATES = ("ca", "cert", "key")
_EPILOG = """Exit codes: 0, it stopped in order; 1, the server did not hear of all that was under
way; 2, the command, the handler or the lifespan is wrong; 75, half of the slots hang in the
handler: start it anew; 77, the server does not know the worker, or does not let it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command was told."""

    handler: str
    lifespan: str | None
    processes: int
    lifeline: int | None
    log_format: str
    log_level: str
    worker: dict[str, Any]
    """The options of a Worker, beside its handler and lifespan."""


def read(arguments: Sequence[str]) -> Options:
    """Read what stands behind `orderintake worker`; for what is wrong, exit with 2."""
    parser = _parser()
    found = parser.parse_args(arguments)
    try:
        return _options(found)
    except ValueError as error:
        parser.error(str(error))


def _options(found: argparse.Namespace) -> Options:
    """Put together what was found. Raises ValueError."""
    values = {name: getattr(found, name) for name in (*_SECRETS, *_CERTIFICATES)}
    typed = [name for name, value in values.items() if value is not None]
    files = {
        name: checked_path(value if value is not None else os.environ.get(variable_of(name)))
        for name, value in values.items()
    }
    who = identity({name: files[name] for name in _SECRETS}, typed)
    certificates = {name: files[name] for name in _CERTIFICATES}
    server = checked_target(found.server, needs_port=True)
    how = encryption(server, use_tls=found.tls, files=certificates, has_identity=bool(who))
    if found.processes > 1 and found.worker_id is not None:
        raise ValueError("one --worker-id is not for many --processes")
    return Options(
        **{name: getattr(found, name) for name in ("handler", "lifespan", "processes")},
        **{name: getattr(found, name) for name in ("lifeline", "log_format", "log_level")},
        worker={
            **{name: getattr(found, name) for name in ("server", "slots", "drain_timeout")},
            "name": found.name,
            "worker_id": found.worker_id,
            "tells_text": found.exception_text,
            **who,
            **how,
        },
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="orderintake worker",
        description="Run a handler for the orders of a server, until SIGTERM or Ctrl-C.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    _add_work(parser)
    _add_connection(parser.add_argument_group("connection and credentials"))
    _add_log(parser.add_argument_group("log"))
    for name, kind in (("--worker-id", str), ("--lifeline", int)):  # for who starts processes
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    return parser


def _add_work(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--handler", required=True, metavar="MODULE:NAME", help="what processes an order")
    add("--lifespan", metavar="MODULE:NAME", help="what is opened once, around all orders")
    slots, processes = _number(1, MOST_SLOTS), _number(1, MOST_PROCESSES)
    text = "orders at once, in each process (default: %(default)s)"
    add("--slots", type=slots, default=SLOTS, metavar="N", help=text)
    text = "processes to run; one that dies is started anew (default: %(default)s)"
    add("--processes", type=processes, default=1, metavar="N", help=text)
    text = "what orders under way get at a stop; then they are given back (default: %(default)s)"
    seconds: Any = {"type": _seconds, "default": DRAIN_SECONDS, "metavar": "SECONDS"}
    add("--drain-timeout", **seconds, help=text)
    add("--name", metavar="TEXT", help="what people are told of it (default: HOST:PID)")
    text = "tell the server the text of exceptions that nobody expected"
    add("--exception-text", action="store_true", help=text)


def _add_connection(group: argparse._ArgumentGroup) -> None:
    server = os.environ.get(SERVER_VARIABLE) or SERVER
    text = f"where the server is, or dns:///HOST:PORT for many ({SERVER_VARIABLE})"
    group.add_argument("--server", default=server, metavar="HOST:PORT", help=text)
    use_tls = os.environ.get(variable_of("tls"), "").lower() in {"1", "true", "yes", "on"}
    text = "encrypt; the server's certificate is from a public authority"
    group.add_argument("--tls", action="store_true", default=use_tls, help=text)
    texts = {
        "ca": "encrypt; this authority signed the server's certificate (PEM)",
        "cert": "encrypt; the worker's own certificate (PEM)",
        "key": "the private key of --cert (PEM)",
        "api_key_file": "the API key is in this file; or set ORDERINTAKE_API_KEY",
        "token_file": "a token is in this file, read again when it has expired",
    }
    for name, text in texts.items():
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(flag, metavar="FILE", help=f"{text} ({variable_of(name)})")


def _add_log(group: argparse._ArgumentGroup) -> None:
    forms: Any = {"choices": ("text", "json"), "default": "text"}
    group.add_argument("--log-format", **forms, help="(default: %(default)s)")
    levels: Any = {"choices": LEVELS, "default": "info"}
    group.add_argument("--log-level", **levels, help="(default: %(default)s)")


def _number(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        found = int(text)
        if not least <= found <= most:
            raise argparse.ArgumentTypeError(f"must be {least} to {most}")
        return found

    return number


def _seconds(text: str) -> float:
    found = float(text)
    if not 0 <= found <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"must be 0 to {MOST_SECONDS} seconds")
    return found
