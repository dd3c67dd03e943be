"""Whatever is done to a store, in whatever order: it answers as the model does."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from support.postgres_home import each
from support.stores import KINDS
from support.work_machine import WorkMachine


@pytest.mark.always
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", each(KINDS), ids=lambda kind: kind.name)
def test_a_store_answers_as_the_model_does(kind: type[Any]) -> None:
    _run(kind, examples=5 if kind.is_shared else 40, steps=40)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", each(KINDS), ids=lambda kind: kind.name)
def test_a_store_answers_as_the_model_does_for_long(kind: type[Any]) -> None:
    _run(kind, examples=500, steps=60)


def _run(kind: type[Any], *, examples: int, steps: int) -> None:
    class Machine(WorkMachine):
        def __init__(self) -> None:
            super().__init__(kind)

    count = max(examples * settings().max_examples // 100, 1)
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=count, stateful_step_count=steps)
    )
