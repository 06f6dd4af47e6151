"""The verbs of the `swegym` command, one file each. Everything shown to people is shown here.

Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted. Results go to stdout; progress and errors to stderr.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from pathlib import Path

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb and exit. What a person can mend is shown as one message; anything else is a bug and a traceback."""
    from swegym.cli.app import app
    from swegym.cli.screen import show_error
    from swegym.errors import InputError, SwegymError

    # For import paths such as `-p my_student:policy`; last, so that no file here hides an installed package.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        app(args=arguments, prog_name="swegym")
    except InputError as error:
        show_error(str(error))
        sys.exit(2)
    except SwegymError as error:
        show_error(str(error))
        sys.exit(1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        place = error.filename or "the store or the output folder"
        remedy = (
            "Free some space, or move the store (SWEGYM_HOME) or the output (-o); then run the same command again."
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else "Choose a place you may write to: SWEGYM_HOME for the store, -o for output."
        )
        show_error(f"{place}: {error.strerror}. {remedy}")
        sys.exit(1)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            show_error("interrupted. What was finished is kept, and the same command goes on from there.")
        raise
