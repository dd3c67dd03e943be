"""The examples of users' own tests, in README.md and docs/testing.md, run as they stand there."""

import re
import sys
import textwrap
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SETTINGS = """
[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
filterwarnings = ["error"]
"""
ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "testing.md"


def example() -> str:
    """Take the example out of the README."""
    section = README.read_text().partition("## In your tests")[2]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found
    assert "orderintake_server.pytest_plugin" in found[1]
    return found[1]


def run(pytester: pytest.Pytester, source: str) -> pytest.RunResult:
    """Run a user's test in a process of its own, as its user would."""
    pytester.makepyprojecttoml(SETTINGS)
    pytester.makepyfile(source)
    return pytester.run(sys.executable, "-m", "pytest", timeout=50)


@pytest.mark.always
def test_the_readmes_example_passes(pytester: pytest.Pytester) -> None:
    run(pytester, example()).assert_outcomes(passed=1)


@pytest.mark.seconds
def test_the_examples_of_the_page_about_tests_pass(pytester: pytest.Pytester) -> None:
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(examples) == 4
    pytester.makepyprojecttoml(SETTINGS.replace("auto", "strict"))
    pytester.makepyfile(**{f"test_{number}": text for number, text in enumerate(examples)})
    done = pytester.run(sys.executable, "-m", "pytest", timeout=50)
    done.assert_outcomes(passed=4)


@pytest.mark.seconds
def test_each_test_has_a_server_of_its_own(pytester: pytest.Pytester) -> None:
    source = """
        import orderintake
        import pytest

        pytest_plugins = ["orderintake_server.pytest_plugin"]

        @pytest.mark.parametrize("turn", [1, 2])
        async def test_the_first_order(orderintake_server, turn):
            async with orderintake.AsyncClient(orderintake_server.address) as client:
                receipt = await client.place(customer_id="ada", lines={"tea": 1}, request_id="r")
                assert receipt.order.accept_sequence == 1
                assert not receipt.replayed
                (started,) = await orderintake_server.starts(1)
                assert started.order_id == receipt.order.order_id
            await orderintake_server.assert_rules_obeyed()
    """
    run(pytester, textwrap.dedent(source)).assert_outcomes(passed=2)
