"""`swegym images trim`: bring the store down to a size, what was not used for longest first."""

from __future__ import annotations

from typing import Annotated

import typer

from swegym.cli.options import Json
from swegym.cli.screen import print_json, say


def trim(
    limit: Annotated[str, typer.Argument(metavar="SIZE", help='The most that the store may take, such as "20GB".')],
    as_json: Json = False,
) -> None:
    """Remove layers and downloads that were not used for longest. What is in use stays; what is gone is built again.

    With SWEGYM_STORE_LIMIT in the environment every build does this at its end.

    \b
    Examples:
      swegym images trim 20GB
      swegym images trim 0 --json
    """
    from dataclasses import asdict

    from swegym.images.cache import parse_size, trim

    done = trim(parse_size(limit, "SIZE"))
    if as_json:
        print_json({**asdict(done), "freed": done.freed})
    else:
        say(f"{len(done.evicted)} removed, {done.freed / 1e6:.0f} MB freed; the store takes {done.after / 1e6:.0f} MB.")
        say(f"{done.in_use} layers are in use and stay.")
