"""requirements/dev.in names what the two packages need, so that what is tested is pinned."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def needs(package: str) -> set[str]:
    """What the package's pyproject.toml asks for, extras and all."""
    project = tomllib.loads((ROOT / package / "pyproject.toml").read_text())["project"]
    extras = project.get("optional-dependencies", {}).values()
    return set(project["dependencies"]).union(*extras)


def test_dev_in_repeats_every_need_of_both_packages() -> None:
    lines = (ROOT / "requirements" / "dev.in").read_text().replace('"', "'").splitlines()
    assert (needs("client") | needs("server")) - {"orderintake-client"} <= set(lines)
