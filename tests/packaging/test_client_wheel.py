"""The client's wheel, alone in a new environment, as a caller installs it."""

import json
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(180)


def run(*command: str | Path) -> str:
    """What the command printed. It must succeed."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel and what the wheel asks for."""
    place = tmp_path_factory.mktemp("client")
    build = (sys.executable, "-m", "build", "--no-isolation")
    run(*build, "--wheel", "--outdir", place, ROOT / "client")
    (wheel,) = place.glob("*.whl")
    venv.create(place / "venv")
    python = place / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--constraint", pins_without_hashes(place), wheel)
    return python


def pins_without_hashes(place: Path) -> Path:
    """The development pins as pip takes constraints: without extras, and with no hash for any."""
    lines = (ROOT / "requirements" / "dev.txt").read_text().splitlines()
    pinned = [line.rstrip(" \\") for line in lines if not line.startswith(" ")]
    pins = place / "pins.txt"
    pins.write_text("\n".join(re.sub(r"\[.*?\]", "", line) for line in pinned))
    return pins


def test_it_pulls_in_grpcio_protobuf_and_googles_messages_and_nothing_else(python: Path) -> None:
    listed = run(sys.executable, "-m", "pip", "--python", python, "list", "--format", "json")
    names = {package["name"].replace("_", "-") for package in json.loads(listed)}
    # typing-extensions is grpcio's own need.
    needs = {"grpcio", "protobuf", "googleapis-common-protos", "typing-extensions"}
    assert names == {"orderintake-client"} | needs


def test_it_speaks_the_contract(python: Path) -> None:
    code = (
        "import orderintake, orderintake.v1.order_pb2 as contract;"
        "print(contract.Order(customer_id='ada').customer_id)"
    )
    assert run(python, "-c", code) == "ada\n"


def test_it_is_imported_without_the_command_line_even_where_that_is_installed() -> None:
    code = "import sys, orderintake; print(sorted({'rich', 'typer'} & sys.modules.keys()))"
    assert run(sys.executable, "-c", code) == "[]\n"
