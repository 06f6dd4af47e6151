"""A board: one live line per thing in flight and the totals above it; one plain line per finished thing elsewhere."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Self

from swegym.cli.screen import STYLES, stderr

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Board:
    """Progress of `total` things, on stderr, fed from any thread.

    Live on a terminal. Elsewhere each finished thing is one line, so that a log stays readable.
    """

    def __init__(self, title: str, total: int) -> None:
        self.title = title
        self.total = total
        self.outcomes: Counter[str] = Counter()
        self._started = time.monotonic()
        self._kept = 0
        self._in_flight: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()
        self._console = stderr()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            from rich.live import Live

            self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
            if self.outcomes:
                self._console.print(self._headline())

    def keep(self, outcome: str) -> None:
        """One thing was done before: counted, not timed, no line of its own."""
        with self._lock:
            self.outcomes[outcome] += 1
            self._kept += 1

    def begin(self, name: str, doing: str = "") -> None:
        with self._lock:
            self._in_flight[name] = (time.monotonic(), doing)

    def doing(self, name: str, doing: str) -> None:
        """Say what a thing in flight is at."""
        with self._lock:
            since, _ = self._in_flight.get(name, (time.monotonic(), ""))
            self._in_flight[name] = (since, doing)

    def end(self, name: str, outcome: str, detail: str = "") -> None:
        from rich.text import Text

        with self._lock:
            since, _ = self._in_flight.pop(name, (time.monotonic(), ""))
            self.outcomes[outcome] += 1
            done = sum(self.outcomes.values())
            width = len(str(self.total))
            line = Text.assemble(
                f"[{done:{width}}/{self.total}] ",
                (f"{outcome:8}", STYLES.get(outcome, "")),
                f" {name}  {time.monotonic() - since:.1f} s",
                (f"  {detail}" if detail else "", "dim"),
            )
        self._console.print(line, soft_wrap=True)

    def _headline(self) -> RenderableType:
        from rich.text import Text

        done = sum(self.outcomes.values())
        elapsed = time.monotonic() - self._started
        text = Text.assemble((self.title, "bold"), f"  {done}/{self.total}")
        for outcome, count in self.outcomes.items():
            text.append(f"  {outcome} {count}", STYLES.get(outcome, ""))
        text.append(f"  {clock(elapsed)}", "dim")
        timed = done - self._kept
        if timed and done < self.total:
            text.append(f"  about {clock(elapsed / timed * (self.total - done))} left", "dim")
        return text

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        with self._lock:
            now = time.monotonic()
            lines = [
                Text.assemble("  ", name, (f"  {doing}" if doing else "", "dim"), (f"  {now - since:.0f} s", "dim"))
                for name, (since, doing) in self._in_flight.items()
            ]
            return Group(self._headline(), *lines)
