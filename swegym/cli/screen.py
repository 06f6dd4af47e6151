"""What people see: tables and messages. Colour and boxes on a terminal, aligned plain text anywhere else."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swegym.messages import CONTROL, printable

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {
    "ok": "green",
    "solved": "green",
    "solved guided": "green",
    "good": "green",
    "built": "green",
    "warn": "yellow",
    "failed": "yellow",
    "failed guided": "yellow",
    "missing": "red",
    "bad": "red",
    "invalid": "red",
    "invalid guided": "red",
    "error": "red",
}


def stdout() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def stderr() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def say(text: str = "") -> None:
    """A line for people on stdout, as it is: no markup."""
    stdout().print(printable(text), markup=False, soft_wrap=True)


def note(text: str) -> None:
    """A remark on stderr that is no result."""
    stderr().print(printable(text), markup=False, soft_wrap=True, style="dim")


def show_error(text: str) -> None:
    from rich.text import Text

    stderr().print(Text.assemble(("error: ", "bold red"), printable(text)), soft_wrap=True)


def print_json(data: Any) -> None:
    """Data for a program: the only thing on stdout. What is no text for a terminal is escaped, and so the same data."""
    written = json.dumps(data, indent=2, ensure_ascii=False)
    sys.stdout.write(CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", written) + "\n")


def show_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "", footer: Sequence[object] = ()
) -> None:
    """Rows under headings. Columns whose cells are all numbers are set flush right."""
    cells = [[_text(cell) for cell in row] for row in rows]
    last = [_text(cell) for cell in footer]
    numeric = [
        bool(cells) and all(not row[index] or _is_number(row[index]) for row in cells) for index in range(len(columns))
    ]
    console = stdout()
    if console.is_terminal:
        _show_boxed(console, columns, cells, last, numeric, title)
        return
    lines = [list(columns), *cells, *([last] if last else [])]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    if title:
        sys.stdout.write(title + "\n")
    for line in lines:
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ]
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def _show_boxed(
    console: Console,
    columns: Sequence[str],
    cells: Sequence[Sequence[str]],
    footer: Sequence[str],
    numeric: Sequence[bool],
    title: str,
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD, title=title or None, title_justify="left", show_footer=bool(footer), header_style="bold"
    )
    for index, column in enumerate(columns):
        table.add_column(
            column,
            justify="right" if numeric[index] else "left",
            overflow="fold",
            footer=Text(footer[index]) if footer else "",
        )
    for row in cells:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    console.print(table)


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return f"{cell:.1f}" if isinstance(cell, float) else printable(str(cell))


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("/", "", 1).replace("%", "", 1).lstrip("-").isdigit()
