"""Holds the size rules of the code: small functions, files and folders, and little nesting."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PRODUCT = ("client/", "server/", "tools/")
FUNCTION, TEST_FUNCTION, SQL_FUNCTION, FILE, FOLDER, NESTING = 25, 40, 40, 300, 15, 2
"""At most: lines (without the docstring) three times, lines, files, levels. Tests, benchmarks and
the demo are held to their functions' size only; more than five parameters are found by ruff."""
GENERATED = "client/orderintake/v1/"
EXCEPTIONS: dict[str, str] = {}
"""Files, folders and functions that may be larger, each with its reason."""

_BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.Match)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SQL_FUNCTION = re.compile(
    r"^CREATE (?:OR REPLACE )?FUNCTION (\w+).*?(?:\$\$;|\Z)", re.MULTILINE | re.DOTALL
)


def main() -> None:
    """Name everything that is larger than it may be, and each exception that is needed no more."""
    command = ["git", "ls-files"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    paths = [path for path in map(Path, listed.stdout.splitlines()) if path.is_file()]
    found = dict(line for path in paths for line in _file(path)) | _folders(paths)
    wrong = {where: size for where, size in found.items() if where not in EXCEPTIONS}
    wrong |= dict.fromkeys(EXCEPTIONS.keys() - found.keys(), "needs no exception any more")
    print(*(f"{where}: {what}" for where, what in wrong.items()), sep="\n")
    sys.exit(bool(wrong))


def _file(path: Path) -> Iterator[tuple[str, str]]:
    is_product = str(path).startswith(PRODUCT)
    if path.suffix not in {".py", ".sql"} or str(path).startswith(GENERATED):
        return
    text = path.read_text()
    if is_product and text.count("\n") > FILE:
        yield str(path), f"{text.count(chr(10))} lines"
    if path.suffix == ".sql":
        yield from _sql(path, text)
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, _FUNCTIONS):
            yield from _function(f"{path}:{node.name}", node, is_product=is_product)


def _function(
    where: str, node: ast.FunctionDef | ast.AsyncFunctionDef, *, is_product: bool
) -> Iterator[tuple[str, str]]:
    body = node.body[ast.get_docstring(node) is not None :]
    lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
    if lines > (FUNCTION if is_product else TEST_FUNCTION):
        yield where, f"{lines} lines"
    if is_product and (levels := _nesting(node)) > NESTING:
        yield where, f"{levels} levels"


def _nesting(node: ast.AST, level: int = 0) -> int:
    """Count the levels of branches and loops; `with` is a lifetime, and adds none."""
    return max(
        (
            _nesting(child, level + (isinstance(child, _BRANCHES) and not _is_elif(node, child)))
            for child in ast.iter_child_nodes(node)
            if not isinstance(child, _FUNCTIONS)
        ),
        default=level,
    )


def _is_elif(node: ast.AST, child: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]


def _sql(path: Path, text: str) -> Iterator[tuple[str, str]]:
    for function in _SQL_FUNCTION.finditer(text):
        lines = function[0].count("\n") + 1
        if lines > SQL_FUNCTION:
            yield f"{path}:{function[1]}", f"{lines} lines"


def _folders(paths: list[Path]) -> dict[str, str]:
    code = [path for path in paths if path.suffix in {".py", ".sql"}]
    counts = Counter(str(path.parent) for path in code if str(path).startswith(PRODUCT))
    return {folder: f"{count} files" for folder, count in counts.items() if count > FOLDER}


if __name__ == "__main__":
    main()
