"""Around a grader: what goes wrong on the way to a verdict becomes one that judges nobody.

The one place where a failure of extraction or grading turns into a verdict; the env and batch evaluation both use it.
"""

from __future__ import annotations

from collections.abc import Callable

from swegym.errors import SandboxError, SwegymError
from swegym.grading.extract import Extraction
from swegym.types import Grader, Sandbox, SandboxFactory, Task, Verdict

Extract = Callable[[Sandbox, Task], Extraction]


def judge(grader: Grader, task: Task, patch: str, open_sandbox: SandboxFactory) -> Verdict:
    """The grader's verdict, or one that says whose doing it is that there is none. Raises nothing but interrupts."""
    try:
        return grader(task, patch, open_sandbox)
    except Exception as error:
        return not_judged(error)


def not_judged(error: Exception) -> Verdict:
    """A verdict for an exception on the way to one. What is not an error of swegym's own is a bug of the grader."""
    if isinstance(error, SwegymError):
        return Verdict(None, error.cause, str(error))
    return Verdict(None, "grader", f"{type(error).__name__}: {error}")


def take_patch(extract: Extract, sandbox: Sandbox, task: Task, open_sandbox: SandboxFactory) -> Extraction:
    """What `extract` finds. When it can read nothing, an untouched sandbox tells whose doing that is.

    Raises:
        SandboxError: An untouched work tree cannot be read either.
    """
    extraction = extract(sandbox, task)
    if extraction.unread:
        extraction = extract(sandbox, task)
    if not extraction.unread:
        return extraction
    with open_sandbox(task.image) as untouched:
        control = extract(untouched, task)
    if control.unread:
        raise SandboxError(f"the work tree could not be read, nor an untouched one: {control.unread}")
    return extraction
