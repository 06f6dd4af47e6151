"""What priced models have cost this process, in dollars, and the limit that ends a run before it costs more.

One account for all policies of a process, whatever their threads. A request that is under way when the limit is reached
is still paid for; none is sent after that.
"""

from __future__ import annotations

import math
import threading

from swegym.errors import RunError

DEFAULT_LIMIT = 10.0  # dollars

_lock = threading.Lock()
_spent = 0.0


def spent() -> float:
    """Dollars since this process began, or since `forget_spending`."""
    with _lock:
        return _spent


def charge(dollars: float) -> None:
    """Put a price on the account. It follows from what a server says that it counted, which must not lift the limit."""
    global _spent
    with _lock:
        _spent += dollars if 0.0 <= dollars < math.inf else 0.0


def check_spending(limit: float | None) -> None:
    """Raise `RunError` when as much as `limit` has been spent; None is no limit."""
    total = spent()
    if limit is not None and total >= limit > 0:
        raise RunError(
            f"models have cost ${total:.2f}, and max_cost is ${limit:.2f}. Finished episodes are kept: the same "
            "command with a higher --max-cost goes on."
        )


def forget_spending() -> None:
    """Begin at nothing again, e.g. for the next run of a long process."""
    global _spent
    with _lock:
        _spent = 0.0
