"""Every exception that swegym raises on purpose.

    SwegymError
    ├── InputError (ValueError)            a file, flag or argument is wrong: names file, field, value, remedy
    │   ├── UnknownName (LookupError)      no such task, set, policy, tool ...; suggests near matches
    │   └── PatchError                     a patch that is malformed or does not apply
    ├── TaskError                          a task cannot be built or used             cause "task"
    │   ├── NotBuilt                       its image is not in the store yet
    │   └── DownloadError (OSError)        its sources could not be fetched or differ from their hash
    ├── SandboxError (RuntimeError)        the machine failed                         cause "sandbox"
    │   ├── SandboxUnavailable             this host cannot run it at all
    │   └── SandboxDied                    it was running and is gone
    ├── ProviderError (RuntimeError)       a model's server failed                    cause "provider"
    ├── GraderError (RuntimeError)         the grader itself failed                   cause "grader"
    ├── GuidanceError (RuntimeError)       a hint where none is allowed, or one that leaks
    └── RunError (RuntimeError)            a run folder cannot be used as asked

Each carries `cause`: whose doing it is. Nothing but "agent" is ever a reward of 0, and no exception has that cause:
what an agent does wrong is a result.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from swegym.types import Cause


class SwegymError(Exception):
    cause: Cause = "us"


class InputError(SwegymError, ValueError):
    """Something a person or program handed in is wrong."""

    @classmethod
    def at(cls, file: str | Path, field: str, value: Any, problem: str, remedy: str) -> InputError:
        """One message shape for every bad field: FILE: field = value: problem. Remedy."""
        shown = repr(value)
        shown = shown if len(shown) <= 120 else shown[:117] + "..."
        return cls(f"{file}: {field} = {shown}: {problem}. {remedy}")


class UnknownName(InputError, LookupError):
    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str], remedy: str = "") -> UnknownName:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        more = f" and {len(known) - 20} more" if len(known) > 20 else ""
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known[:20]) or 'none'}{more}."
        return cls(f"no {kind} named {name!r}. {hint} {remedy}".rstrip())


class PatchError(InputError):
    pass


class TaskError(SwegymError):
    cause: Cause = "task"


class NotBuilt(TaskError):
    pass


class DownloadError(TaskError, OSError):
    pass


class SandboxError(SwegymError, RuntimeError):
    cause: Cause = "sandbox"


class SandboxUnavailable(SandboxError):
    pass


class SandboxDied(SandboxError):
    pass


class ProviderError(SwegymError, RuntimeError):
    cause: Cause = "provider"


class GraderError(SwegymError, RuntimeError):
    cause: Cause = "grader"


class GuidanceError(SwegymError, RuntimeError):
    pass


class RunError(SwegymError, RuntimeError):
    pass


def cause_of(error: BaseException) -> Cause:
    """Whose doing an exception is; what is not one of these is a bug."""
    return error.cause if isinstance(error, SwegymError) else "us"
