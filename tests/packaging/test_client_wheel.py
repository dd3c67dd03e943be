"""The client's wheel, alone in a new environment, as a caller installs it."""

import sys
from pathlib import Path

import pytest

from support.wheels import build, environment, installed, run

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel and what the wheel asks for."""
    place = tmp_path_factory.mktemp("client")
    return environment(place, build("client", place))


@pytest.mark.seconds
def test_it_pulls_in_grpcio_and_protobuf_and_nothing_else(python: Path) -> None:
    # typing-extensions is grpcio's own need.
    assert installed(python) == {"orderintake-client", "grpcio", "protobuf", "typing-extensions"}


@pytest.mark.seconds
def test_it_speaks_the_contract(python: Path) -> None:
    code = (
        "import orderintake, orderintake.v1.order_pb2 as contract;"
        "print(contract.Order(customer_id='ada').customer_id)"
    )
    assert run(python, "-c", code) == "ada\n"


def test_it_is_imported_without_the_command_line_even_where_that_is_installed() -> None:
    code = "import sys, orderintake; print(sorted({'rich', 'typer'} & sys.modules.keys()))"
    assert run(sys.executable, "-c", code) == "[]\n"
