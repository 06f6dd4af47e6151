"""Evidence: what `_evidence.py` heard in the tests' interpreter, against what the reference fix does itself.

A function of the test machinery that has other code than before is tampering: no package needs that, and what the
reference fix (or a plugin) does is not held against a patch. Audit events are no more than a hint, since libraries
raise them too: they are noted and decide nothing. Silence proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from swegym.grading.pytest_run import Fact

DECIDING = ("changed", "removed", "recoded")
_MOST_SHOWN, _MOST_HINTS, _LONGEST = 5, 20, 300  # code under test may say much more, and a verdict is kept


def found(facts: Iterable[Fact], usual: Iterable[str] = ()) -> tuple[list[str], list[str]]:
    """(tampering, hints) in the facts of runs, without what is `usual` in the reference fix's."""
    said = {(what, name[:_LONGEST]) for kind, what, name, _ in facts if kind == "evidence"}
    known = frozenset(usual)
    new = sorted((what, name) for what, name in said if f"{what} {name}" not in known)
    tampering = [f"machinery: {name} was {what}" for what, name in new if what in DECIDING]
    hints = [name for what, name in new if what not in DECIDING]
    return tampering[:_MOST_SHOWN], hints[:_MOST_HINTS]


def usual(facts: Iterable[Fact]) -> tuple[str, ...]:
    """What a run of the reference fix says of itself, in the form that `found` takes."""
    return tuple(sorted({f"{what} {name}" for kind, what, name, _ in facts if kind == "evidence"}))
