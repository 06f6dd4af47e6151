"""litellm, made ready: what a model's server may take in time and memory is bounded.

An answer counts as late when all of it is not there in time: httpx's own timeout begins anew with every byte, so that a
server which sends one now and then would be waited for without end. One that sends without end would fill the memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

LARGEST = 64 << 20  # bytes of one answer; token ids and log-probs of a long one are a few MiB


def ready() -> Any:
    """The module litellm. The bounds hold for servers that are asked through openai's client, as `api_base` is."""
    # litellm otherwise fetches its price list from the network while it is imported.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.suppress_debug_info = True  # it prints advertisements on errors
    if litellm.client_session is None or litellm.client_session.is_closed:
        litellm.client_session = _session()
    return litellm


def _session() -> Any:
    import httpx
    from litellm.llms.custom_httpx.http_handler import get_ssl_configuration

    class Bounded(httpx.SyncByteStream):
        def __init__(self, stream: Any, deadline: float) -> None:
            self._stream, self._deadline = stream, deadline

        def __iter__(self) -> Iterator[bytes]:
            taken = 0
            for part in self._stream:
                taken += len(part)
                if time.monotonic() > self._deadline:
                    raise httpx.ReadTimeout("the answer was not whole in time")
                if taken > LARGEST:
                    raise httpx.ReadError(f"the answer has more than {LARGEST} bytes")
                yield part

        def close(self) -> None:
            self._stream.close()

    def begin(request: httpx.Request) -> None:
        request.headers["Accept-Encoding"] = "identity"  # what a few bytes unpack to is not counted
        seconds = request.extensions.get("timeout", {}).get("read")
        request.extensions["deadline"] = float("inf") if seconds is None else time.monotonic() + seconds

    def bound(response: httpx.Response) -> None:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            response.close()
            raise httpx.ReadError("the answer is compressed, which was not asked for")
        response.stream = Bounded(response.stream, response.request.extensions["deadline"])

    return httpx.Client(
        verify=get_ssl_configuration(),
        follow_redirects=True,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
        event_hooks={"request": [begin], "response": [bound]},
    )
