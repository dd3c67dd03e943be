"""The codes of errors by HTTP: every code of gRPC has one, and every reason of ours a status."""

from google.rpc import code_pb2

from orderintake_server.api.refusals import CODES as OF_REASONS
from orderintake_server.errors import Reason
from orderintake_server.http.codes import CODES


def test_every_code_has_its_name_and_a_status_of_an_error() -> None:
    assert {number: code.name for number, code in CODES.items()} == {
        number: name for name, number in code_pb2.Code.items() if number
    }
    assert all(400 <= code.status < 600 for code in CODES.values())


def test_what_may_be_repeated_has_a_status_that_says_so() -> None:
    found = {reason: CODES[OF_REASONS[reason]].status for reason in Reason}
    assert {reason.name for reason, status in found.items() if status in {429, 503}} == {
        *("QUEUE_FULL", "DRAINING", "STORAGE_UNAVAILABLE", "REQUEST_TOO_SLOW"),
        *("CUSTOMER_QUOTA", "TOO_MANY_STREAMS", "WORKER_LIMIT"),
    }
