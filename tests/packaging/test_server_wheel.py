"""The server's wheel: what it says of itself, and a server of it in a new environment."""

import email
import subprocess
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from support.wheels import build, environment, installed

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.seconds, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def wheel(place: Path) -> Path:
    return build("server", place)


@pytest.fixture(scope="module")
def about(wheel: Path) -> Message:
    """The wheel's metadata."""
    return email.message_from_string(_read(wheel, "METADATA"))


@pytest.fixture(scope="module")
def python(place: Path, wheel: Path) -> Path:
    """The interpreter of an environment with the two wheels and what they ask for, no extras."""
    return environment(place, build("client", place), wheel)


def _read(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as files:
        (path,) = [each for each in files.namelist() if each.endswith(f".dist-info/{name}")]
        return files.read(path).decode()


def test_it_asks_for_the_client_of_its_own_version(about: Message) -> None:
    assert f"orderintake-client=={about['Version']}" in about.get_all("Requires-Dist", [])


def test_it_has_an_extra_for_each_thing_that_not_every_server_needs(about: Message) -> None:
    extras = {"fast", "http", "jwt", "postgres", "testing", "traces"}
    assert set(about.get_all("Provides-Extra", [])) == extras


def test_it_carries_its_licence(wheel: Path, about: Message) -> None:
    assert about["License-Expression"] == "Apache-2.0"
    assert "Apache License" in _read(wheel, "licenses/LICENSE")


def test_it_carries_the_description_that_it_shows(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as files:
        assert "orderintake_server/http/openapi.json" in files.namelist()


def test_it_claims_no_system_that_it_is_not_for_and_names_no_address(about: Message) -> None:
    systems = [each for each in about.get_all("Classifier", []) if "Operating System" in each]
    assert systems == ["Operating System :: MacOS", "Operating System :: POSIX"]
    assert about.get_all("Project-URL") is None


def test_without_extras_there_is_neither_asyncpg_nor_uvloop(python: Path) -> None:
    names = installed(python)
    assert {"orderintake-server", "orderintake-client", "grpcio"} <= names
    others = {"aiohttp", "asyncpg", "cryptography", "pyjwt", "uvloop", "rich", "typer", "pytest"}
    assert not others & names


def test_without_the_postgres_extra_a_server_names_it_when_asked_for_a_database(
    python: Path,
) -> None:
    command = (python.parent / "orderintake-server", "--store", "postgresql://127.0.0.1:1/none")
    end = subprocess.run(command, check=False, capture_output=True, text=True)
    assert end.returncode == 1
    assert "pip install 'orderintake-server[postgres]'" in end.stderr
    assert "Traceback" not in end.stderr


def test_without_the_jwt_extra_a_server_names_it_when_tokens_are_asked_for(python: Path) -> None:
    flags = ("--jwt-keys", "keys.json", "--jwt-issuer", "shop", "--data", str(python.parent))
    command = (python.parent / "orderintake-server", *flags)
    end = subprocess.run(command, check=False, capture_output=True, text=True)
    assert end.returncode == 1
    assert "pip install 'orderintake-server[jwt]'" in end.stderr
    assert "Traceback" not in end.stderr


def test_it_carries_the_files_of_the_board(wheel: Path) -> None:
    page = ROOT / "server" / "orderintake_server" / "http" / "board" / "page"
    with zipfile.ZipFile(wheel) as files:
        carried = {Path(each).name for each in files.namelist() if "/board/page/" in each}
    assert carried == {each.name for each in page.iterdir()}
