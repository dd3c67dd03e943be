"""Every entry of the log that is about one order names it: looked for in the code itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = [
    *(ROOT / "server" / "orderintake_server").rglob("*.py"),
    *(ROOT / "client" / "orderintake").rglob("*.py"),
]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
LOGS = {"log", "_log"}
ORDERS = {"accept_sequence", "order_id", "lease", "order", "settle", "settlement"}
"""What a single order, or an attempt at one, is called in the code."""
NAMED_BY = {"accept_sequence", "order_id", "lease"}
"""The renderer puts the order_id beside an accept_sequence; a worker elsewhere knows a lease."""
ATTEMPT = ROOT / "client" / "orderintake" / "work" / "handlers.py"
"""What is logged there has the order_id from the attempt's context, as the handler's own entries
have: see test_handler_surroundings."""


def _functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _log_calls(function: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            logger = node.func.value
            if isinstance(logger, ast.Name) and logger.id in LOGS and node.func.attr in LEVELS:
                yield node


def _names(function: ast.AST) -> set[str]:
    """Return what a function calls by a name: its arguments, variables and what it asks of them."""
    found = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    found |= {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    return found | {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}


def _faults(file: Path) -> list[str]:
    return [
        f"{file.name}:{call.lineno}"
        for function in _functions(file)
        if _names(function) & ORDERS
        for call in _log_calls(function)
        if not _fields(call) & NAMED_BY
    ]


def _fields(call: ast.Call) -> set[object]:
    """Return what an entry has beside its text; the standard library takes it as `extra`."""
    extra = {
        key.value
        for keyword in call.keywords
        if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict)
        for key in keyword.value.keys
        if isinstance(key, ast.Constant)
    }
    return extra | {keyword.arg for keyword in call.keywords}


@pytest.mark.parametrize(
    "file",
    [file for file in CODE if file != ATTEMPT and any(_log_calls(ast.parse(file.read_text())))],
)
def test_what_is_logged_with_an_order_at_hand_names_it(file: Path) -> None:
    assert _faults(file) == []


def test_what_names_no_order_is_found(tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text("def settle(lease):\n    log.info('settled')\n    log.info('', order_id=1)\n")
    assert _faults(file) == ["code.py:2"]
