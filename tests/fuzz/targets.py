"""Every target of the fuzzer: what it does with an input, and what it begins with."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from fuzz import client, credentials, http, requests

MOST_BYTES = 64 * 1024
"""Of one input."""
MOST_SECONDS = 1.0
"""Of processor time, for one input."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One reader of foreign bytes; `check` raises when it does what it must not."""

    check: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]

    def __call__(self, data: bytes) -> None:
        """Check one input, and that it takes no longer than any may."""
        began = time.thread_time()
        self.check(data)
        took = time.thread_time() - began
        assert took < MOST_SECONDS, f"{took:.1f} s of processor time for one input"


TARGETS = {
    "requests": Target(check=requests.request, seeds=requests.request_seeds),
    "texts": Target(check=requests.text, seeds=requests.text_seeds),
    "traceparent": Target(check=requests.traceparent, seeds=requests.traceparent_seeds),
    "headers": Target(check=credentials.headers, seeds=credentials.header_seeds),
    "tokens": Target(check=credentials.token, seeds=credentials.token_seeds),
    "keys": Target(check=credentials.keys, seeds=credentials.keys_seeds),
    "access": Target(check=credentials.access_file, seeds=credentials.access_seeds),
    "json": Target(check=http.from_json, seeds=http.json_seeds),
    "shown": Target(check=http.shown, seeds=http.shown_seeds),
    "queries": Target(check=http.queried, seeds=http.query_seeds),
    "envelopes": Target(check=http.enveloped, seeds=http.envelope_seeds),
    "details": Target(check=client.details, seeds=client.details_seeds),
    "stream": Target(check=client.stream, seeds=client.stream_seeds),
    "results": Target(check=client.results, seeds=client.results_seeds),
    "answers": Target(check=client.answer, seeds=client.answer_seeds),
}
