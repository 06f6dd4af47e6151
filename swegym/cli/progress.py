"""A board: one live line per thing in flight and the totals above it; one plain line per finished thing elsewhere."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Self

from swegym.cli.screen import STYLES, stderr
from swegym.messages import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def outcome_of(resolved: bool | None) -> str:
    """A verdict in one word."""
    if resolved is None:
        return "invalid"
    return "solved" if resolved else "failed"


class Board:
    """Progress of `total` things, on stderr, fed from any thread.

    A thing may have several outcomes on its way (the attempts at a task). Live on a terminal; elsewhere each outcome is
    one line, so that a log stays readable.
    """

    def __init__(self, title: str, total: int) -> None:
        self.title = title
        self.total = total
        self.outcomes: Counter[str] = Counter()
        self._started = time.monotonic()
        self._done = 0
        self._worked_on: set[str] = set()
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
            self._console.print(self._headline())

    def doing(self, name: str, doing: str) -> None:
        """Say what a thing is at; the first time, it begins."""
        with self._lock:
            since, _ = self._in_flight.get(name, (time.monotonic(), ""))
            self._in_flight[name] = (since, doing)

    def kept(self, outcome: str) -> None:
        """Something had this outcome before: counted, without a line."""
        with self._lock:
            self.outcomes[outcome] += 1

    def outcome(self, name: str, label: str, outcome: str, seconds: float, detail: str = "") -> None:
        """The thing `name` has come to an outcome, shown as `label`; it stays in flight."""
        from rich.text import Text

        with self._lock:
            self.outcomes[outcome] += 1
            self._worked_on.add(name)
            width = len(str(self.total))
            line = Text.assemble(
                (f"[{self._done:{width}}/{self.total}] ", "dim"),
                (f"{outcome:13}", STYLES.get(outcome, "")),
                f" {printable(label)}  {seconds:.1f} s",
                (f"  {_short(detail)}" if detail else "", "dim"),
            )
        self._console.print(line, soft_wrap=True)

    def finish(self, name: str) -> None:
        """The thing is over."""
        with self._lock:
            self._in_flight.pop(name, None)
            self._done += 1

    def end(self, name: str, outcome: str, detail: str = "") -> None:
        """The thing is over with this one outcome."""
        with self._lock:
            since, _ = self._in_flight.get(name, (time.monotonic(), ""))
        self.finish(name)
        self.outcome(name, name, outcome, time.monotonic() - since, detail)

    def _headline(self) -> RenderableType:
        from rich.text import Text

        elapsed = time.monotonic() - self._started
        text = Text.assemble((self.title, "bold"), f"  {self._done}/{self.total}")
        for outcome, count in self.outcomes.items():
            text.append(f"  {outcome} {count}", STYLES.get(outcome, ""))
        text.append(f"  {clock(elapsed)}", "dim")
        timed = len(self._worked_on - self._in_flight.keys())
        if timed and self._done < self.total:
            text.append(f"  about {clock(elapsed / timed * (self.total - self._done))} left", "dim")
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


def _short(text: str) -> str:
    first = printable(text.strip().partition("\n")[0])
    return first if len(first) <= 100 else first[:97] + "..."
