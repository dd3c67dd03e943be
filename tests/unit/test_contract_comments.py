"""The contract's comments, where two of them tell of one thing."""

import re
from pathlib import Path

import pytest

PROTOS = Path(__file__).parents[2] / "protos" / "orderintake" / "v1"
EXPIRY = (
    "From this time on no attempt starts. If the order waits then, in the queue, for its not_before"
    " or for another attempt, it ends as EXPIRED, within a second. An attempt that is under way"
    " goes on."
)
"""What contract/test_times.py holds."""


@pytest.mark.parametrize("name", ["order.proto", "order_intake_service.proto"])
def test_p12_the_order_and_its_request_tell_the_same_of_expire_time(name: str) -> None:
    text = (PROTOS / name).read_text()
    (comment,) = re.findall(r"((?:  //.*\n)+)  google.protobuf.Timestamp expire_time", text)
    said = " ".join(line.strip().removeprefix("//").strip() for line in comment.splitlines())
    assert EXPIRY in said
