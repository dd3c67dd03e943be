"""Generates the synchronous client from the asynchronous one; --check only compares.

Each rule below replaces text of the asynchronous source. A rule that nothing matches, or a word
of asyncio that no rule replaced, is an error: then the rules and the source do not fit together.
"""

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "client" / "orderintake"
MODULES = ("client.py", "calls.py", "operators.py")
HEADER = "# Generated from orderintake/aio/{}. Do not edit: `make sync` makes it anew.\n\n"

RULES = {
    r"\basync (?=def|with|for)": "",
    r"\bawait ": "",
    r"\b__a(enter|exit)__\b": r"__\1__",
    r"\bAsync(?=[A-Z])": "",
    r"(?<=Service)Async(?=Stub\b)": "",
    r"\bgrpc\.aio\.": "grpc.",
    r"\borderintake\.aio\b": "orderintake.sync",
    r"\bimport asyncio\n": "",
    r"\basyncio\.to_thread\(([\w.]+)\)": r"\1()",
    # What the docstrings say of coroutines and tasks.
    r"\bThe client for asyncio: the service's calls as coroutines\b": (
        "The client for threads: the service's calls as plain methods"
    ),
    r"\btasks may share it\b": "threads may share it",
    r"\n    It belongs to the event loop that runs when the connection is opened\.\n": "",
    r"\bAn async function is awaited; any other is called in a thread, for it may wait\.": (
        "It is called in the thread that makes the call."
    ),
    r"\bthe asynchronous client\b": "the synchronous client",
}
LEFTOVER = re.compile(r".*(?:async|await|\baio\b|\b[Tt]asks?\b|coroutine|event loop).*")


def main() -> None:
    """Write the synchronous modules, or fail if one is not what would be written."""
    stale = []
    for name, text in synchronous().items():
        path = PACKAGE / "sync" / name
        if "--check" not in sys.argv[1:]:
            path.write_text(text)
        elif path.read_text() != text:
            stale.append(str(path.relative_to(PACKAGE.parents[1])))
    if stale:
        sys.exit(f"{', '.join(stale)}: not what orderintake/aio says: run 'make sync'.")


def synchronous() -> dict[str, str]:
    """Return the text of each synchronous module, by its file's name."""
    texts = {name: (PACKAGE / "aio" / name).read_text() for name in MODULES}
    for pattern, replacement in RULES.items():
        if not any(re.search(pattern, text) for text in texts.values()):
            sys.exit(f"tools/unasync.py: no module matches {pattern!r}: remove or repair the rule.")
        texts = {name: re.sub(pattern, replacement, text) for name, text in texts.items()}
    for name, text in texts.items():
        if left := LEFTOVER.search(text):
            sys.exit(f"tools/unasync.py: aio/{name}: no rule for {left[0].strip()!r}.")
    return {name: _tidy(name, HEADER.format(name) + text) for name, text in texts.items()}


def _tidy(name: str, text: str) -> str:
    """Sort the imports, write `yield from` where it can be now, and format."""
    text = _ruff(name, text, "check", "--fix-only", "--unsafe-fixes", "--select=I,UP028")
    return _ruff(name, text, "format")


def _ruff(name: str, text: str, *arguments: str) -> str:
    path = str(PACKAGE / "sync" / name)  # for the settings; nothing is read from it
    command = [sys.executable, "-m", "ruff", *arguments, "--quiet", "--stdin-filename", path, "-"]
    done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", check=True)
    return done.stdout


if __name__ == "__main__":
    main()
