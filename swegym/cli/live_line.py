"""One line about long work: live on a terminal, printed now and then elsewhere."""

from __future__ import annotations

import os
import time
from typing import Any, Self

from swegym.cli.screen import stderr

EVERY = 10.0  # seconds between lines where there is no terminal


class LiveLine:
    """A context manager. Of several processes of one training only the first says anything."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.begun = time.monotonic()
        self._console = stderr()
        self._status: Any = None
        self._shown = 0.0
        self._silent = os.environ.get("RANK", "0") != "0"

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._silent:
            self._status = self._console.status(f"{self.title}: loading")
            self._status.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._status is not None:
            self._status.stop()

    def update(self, text: str) -> None:
        """Change the live line; elsewhere nothing is said."""
        if self._status is not None:
            self._status.update(text)

    def show(self, text: str, last: bool) -> None:
        """Change the live line, or print one where the last was printed long ago; the `last` is printed anyway."""
        self.update(text)
        now = time.monotonic()
        if not self._silent and (last or (self._status is None and now - self._shown >= EVERY)):
            self._shown = now
            self._console.print(text, soft_wrap=True, markup=False)
