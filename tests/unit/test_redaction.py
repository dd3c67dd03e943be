"""No key and no token gets into the log, wherever in an entry it stands."""

import json
import os
from collections.abc import Callable

import pytest

from orderintake_server import logger
from orderintake_server.logger import get_logger
from orderintake_server.telemetry.log import renderer
from orderintake_server.telemetry.redaction import REDACTED, redacted
from support.callers import key_of

KEY = key_of("shop")
SIGNED = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
SECRETS = {"a key": KEY, "a token": SIGNED, "a header": f"Bearer {'opaque-0123456789+/=~.'}"}
PIECES = ("0123456789abcdef", "eyJ", "c2lnbmF0dXJl", "opaque")

log = get_logger()


def write(form: str, value: object, *, error: BaseException | None = None) -> str:
    """Log a value; give the line."""
    lines: list[str] = []
    logger.configure(
        processor=renderer(form, has_colors=form == "text"), level="debug", write=lines.append
    )
    log.info("something happened", value=value, exc_info=error)
    return "\n".join(lines)


PLACES: dict[str, Callable[[str], object]] = {
    "by itself": lambda secret: secret,
    "in a text": lambda secret: f"they sent authorization: {secret}, and that was wrong",
    "after a line's end": lambda secret: f"sent:\n{secret}\nthat is all",
    "in a list": lambda secret: ["a", secret],
    "deep": lambda secret: {"headers": {"list": [("authorization", secret)]}},
    "as a name": lambda secret: {secret: 1},
    "as bytes": str.encode,
}


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_replaced_wherever_it_stands(form: str, place: str, secret: str) -> None:
    line = write(form, PLACES[place](SECRETS[secret]))
    assert REDACTED in line
    assert not [piece for piece in PIECES if piece in line]
    assert "something happened" in line
    if form == "json":
        assert json.loads(line)["event"] == "something happened"


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_in_an_exception_is_replaced(form: str, secret: str) -> None:
    def fail() -> None:
        try:
            os.environ[SECRETS[secret]]
        except KeyError as error:
            raise ValueError(f"no such header: {SECRETS[secret]}") from error

    with pytest.raises(ValueError, match="no such header") as failed:
        fail()
    line = write(form, 1, error=failed.value)
    assert line.count(REDACTED) >= 2
    assert "no such header" in line
    assert not [piece for piece in PIECES if piece in line]


def test_what_is_no_secret_stays() -> None:
    line = "the monkey eyed the bearer of the key eyJ, and the heJy"
    assert redacted(line).startswith("the monkey eyed the ")
    assert redacted("keyJ oik heyJude") == "keyJ oik heyJude"
