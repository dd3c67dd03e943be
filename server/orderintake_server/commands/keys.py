"""The command keys: adds callers to the file access.toml, lists them and removes them."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from orderintake_server.access import Role, editing, entries
from orderintake_server.access.table import KEY_PREFIX
from orderintake_server.config.watched import BadFile

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_BYTES = 32
"""Of chance in a key: nobody finds one by trying."""
VARIABLE = "ORDERINTAKE_ACCESS"
_ROLES = """\
customer   place orders, see and cancel its own; needs --customer
vip        with customer: place VIP orders
subscriber read the completions of all customers
worker     process orders
operator   see everything, pause and resume, redrive, cancel any order
observer   see everything and change nothing"""
_NEXT = """\
This is the key of {name}. It is shown only now: {file} holds its hash.
  server:  orderintake-server --access {file}    (a running one knows it within 5 s)
  client:  export ORDERINTAKE_API_KEY=oik_…"""


def keys(arguments: list[str]) -> int:
    """Run the command; return its exit code, 2 when it could not do what it was asked."""
    asked = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], None] = asked.run
    try:
        run(asked)
    except BadFile as bad:
        why = str(bad)
    except OSError as error:
        why = error.strerror or type(error).__name__
    else:
        return 0
    _say(f"orderintake-server keys {asked.verb}: {asked.access}: {why}")
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "orderintake-server keys",
        description="Add callers to the file of --access, list them, and remove them. A running "
        "server sees it within 5 s; a removed caller's streams end then.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="add | list | remove")
    _describe(_verb(verbs, "add", _add, "add a caller, and print its new key once"))
    _verb(verbs, "list", _list, "list the callers: name, kind, roles, customer")
    removing = _verb(verbs, "remove", _remove, "remove a caller")
    removing.add_argument("name")
    return parser


def _describe(adding: argparse.ArgumentParser) -> None:
    """Say what a new caller is described by."""
    adding.add_argument("name", type=_name, help="letters, digits, - and _: it stands in the log")
    adding.add_argument(
        "--role",
        action="append",
        required=True,
        choices=[role.value for role in Role],
        metavar="ROLE",
        help="may be given several times; below is what each may do",
    )
    adding.add_argument(
        "--customer", type=_customer, help="whose orders are its own: a customer_id, '*' for all"
    )
    adding.add_argument(
        "--certificate",
        type=_uri,
        metavar="URI",
        help="make no key: the caller has a certificate that names this URI",
    )


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], None],
    told: str,
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(
        name,
        help=told,
        description=told[0].upper() + told[1:] + ".",
        epilog=f"roles:\n{_ROLES}" if name == "add" else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.set_defaults(run=run)
    verb.add_argument(
        "--access",
        type=Path,
        default=Path(os.environ.get(VARIABLE) or "access.toml"),
        metavar="FILE",
        help=f"the file (default: access.toml) [env: {VARIABLE}]",
    )
    return verb


def _name(text: str) -> str:
    if not entries.is_name(text):
        raise argparse.ArgumentTypeError(
            "must be 1 to 64 letters, digits, - and _, not as a key begins"
        )
    return text


def _customer(text: str) -> str:
    if not entries.is_customer(text):
        raise argparse.ArgumentTypeError("must be 1 to 128 printable characters")
    return text


def _uri(text: str) -> str:
    if not entries.is_uri(text):
        raise argparse.ArgumentTypeError("must be a URI, as spiffe://shop.example/kitchen")
    return text


def _add(asked: argparse.Namespace) -> None:
    key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    entry = entries.Entry(
        name=asked.name,
        credential=asked.certificate or sha256(key.encode()).digest(),
        roles=frozenset(map(Role, asked.role)),
        customer=asked.customer,
    )
    editing.add(asked.access, entry)
    if asked.certificate:
        _say(f"{asked.name} is whoever has a certificate that names {asked.certificate}")
        return
    print(key)  # noqa: T201 - alone on standard output, for programs
    _say(_NEXT.format(name=asked.name, file=asked.access))


def _list(asked: argparse.Namespace) -> None:
    for entry in entries.read(asked.access):
        roles = " ".join(sorted(role.value for role in entry.roles))
        shown = [entry.name, entry.kind.value, roles, entry.customer or "-"]
        print("\t".join(shown))  # noqa: T201 - the command's output


def _remove(asked: argparse.Namespace) -> None:
    editing.remove(asked.access, asked.name)
    _say(f"{asked.name} is removed; servers refuse it, and end its streams, within 5 s")


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - for people
