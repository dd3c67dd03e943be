"""requirements/*.in name what the two packages need, so that what runs and is tested is pinned."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"^[a-z0-9-]+\S*==\S+", re.MULTILINE)


def project(package: str) -> dict[str, Any]:
    """What the package's pyproject.toml tells of it."""
    found = tomllib.loads((ROOT / package / "pyproject.toml").read_text())["project"]
    assert isinstance(found, dict)
    return found


def needs(package: str, *extras: str) -> set[str]:
    """What the package's pyproject.toml asks for, with these extras of it."""
    optional = project(package)["optional-dependencies"]
    return set(project(package)["dependencies"]).union(*(optional[extra] for extra in extras))


def extras(package: str) -> set[str]:
    return set(project(package)["optional-dependencies"])


def lines(name: str) -> set[str]:
    return set((ROOT / "requirements" / name).read_text().splitlines())


def pins(name: str) -> set[str]:
    return set(PIN.findall((ROOT / "requirements" / name).read_text()))


def test_the_server_asks_for_the_client_of_its_own_version() -> None:
    versions = {project("client")["version"], project("server")["version"]}
    assert [f"orderintake-client=={each}" for each in versions] == [
        need for need in needs("server") if need.startswith("orderintake-client")
    ]


def test_run_in_repeats_what_a_server_and_its_command_line_need() -> None:
    server = {n for n in needs("server", "fast", "postgres") if "orderintake-client" not in n}
    assert needs("client", "cli") | server <= lines("run.in")


def test_dev_in_begins_with_run_in_and_repeats_every_need_that_is_not_there() -> None:
    every = {n for package in ("client", "server") for n in needs(package, *extras(package))}
    rest = {n for n in every - lines("run.in") if "orderintake-client" not in n}
    assert {"-r run.in", *rest} <= lines("dev.in")


@pytest.mark.parametrize("name", ["run.txt", "build.txt"])
def test_the_tools_are_pinned_to_what_else_is_in_their_environment(name: str) -> None:
    assert pins(name)
    assert pins(name) <= pins("dev.txt")
