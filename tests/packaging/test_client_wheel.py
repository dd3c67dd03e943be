"""The client's wheel, alone in a new environment, as a caller installs it."""

import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from support.process import LoggedProcess
from support.wheels import ROOT, build, environment, installed, run
from support.work_port import work_port

PROTOS = list((ROOT / "protos").rglob("*.proto"))

pytestmark = [pytest.mark.seconds, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist, which was built from the repository."""
    return build("client", tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel and what the wheel asks for."""
    return environment(tmp_path_factory.mktemp("client"), wheel)


def test_it_pulls_in_grpcio_protobuf_and_googles_messages_and_nothing_else(python: Path) -> None:
    # typing-extensions is grpcio's own need.
    needs = {"grpcio", "protobuf", "googleapis-common-protos", "typing-extensions"}
    assert installed(python) == {"orderintake-client"} | needs


def test_it_speaks_the_contract(python: Path) -> None:
    code = (
        "import orderintake, orderintake.v1.order_pb2 as contract;"
        "print(contract.Order(customer_id='ada').customer_id)"
    )
    assert run(python, "-c", code) == "ada\n"


def test_it_holds_the_library_its_types_its_protos_and_its_licence(wheel: Path) -> None:
    client = ROOT / "client"
    expected = {
        path.relative_to(client).as_posix()
        for path in (client / "orderintake").rglob("*")
        if path.suffix in {".py", ".pyi", ".typed"}
    }
    assert "orderintake/py.typed" in expected
    protos = {path.relative_to(ROOT / "protos").as_posix(): path for path in PROTOS}
    with zipfile.ZipFile(wheel) as opened:
        held = {name for name in opened.namelist() if not name.startswith(dist_info(wheel))}
        assert held == expected | protos.keys()
        for name, path in protos.items():
            assert opened.read(name) == path.read_bytes()
        licence = opened.read(f"{dist_info(wheel)}/licenses/LICENSE")
        assert licence == (ROOT / "LICENSE").read_bytes()


def dist_info(wheel: Path) -> str:
    """The folder of the wheel's metadata."""
    return f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info"


def test_it_says_what_it_is_and_makes_no_claim_of_windows(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        said = message_from_bytes(opened.read(f"{dist_info(wheel)}/METADATA"))
    classifiers = said.get_all("Classifier", [])
    assert {"Typing :: Typed", "Operating System :: POSIX"} <= set(classifiers)
    assert not [each for each in classifiers if "Windows" in each or "Independent" in each]
    assert said["License-Expression"] == "Apache-2.0"
    assert set(said.get_all("Provides-Extra", [])) == {"cli", "types"}
    assert not said.get_all("Project-URL")


def test_its_command_says_which_extra_it_needs(python: Path) -> None:
    command = [str(python.with_name("orderintake")), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'orderintake-client[cli]'" in done.stderr


async def test_a_worker_needs_nothing_else(python: Path, tmp_path: Path) -> None:
    (tmp_path / "kitchen.py").write_text("async def prepare(order):\n    pass\n")
    command = (str(python.with_name("orderintake")), "worker", "--handler", "kitchen:prepare")
    async with work_port() as port:
        await port.place("a")
        process = LoggedProcess(*command, "--server", port.address, cwd=tmp_path)
        try:
            await port.completed(1)
            assert await process.stops() == 0
        finally:
            process.kill()
    assert port.desk.outcomes[0].WhichOneof("outcome") == "succeeded"


def test_it_is_imported_without_the_command_line_even_where_that_is_installed() -> None:
    code = "import sys, orderintake; print(sorted({'rich', 'typer'} & sys.modules.keys()))"
    assert run(sys.executable, "-c", code) == "[]\n"
