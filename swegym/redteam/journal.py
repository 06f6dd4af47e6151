"""A journal: the outcomes of a campaign as they come, one a line, so that the same command goes on after a break.

An outcome is known again as long as the attack, the task, the grader's name and its code are what they were. The code
of ours is all of `swegym/grading`, of one's own (`my_pkg.module:function`) the module's file.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import threading
from collections.abc import Collection
from pathlib import Path

from swegym import grading
from swegym.images.store import json_digest
from swegym.redteam.attack import Attack, Fix
from swegym.redteam.campaign import Outcome
from swegym.types import Task


class Journal:
    """Outcomes in a file. `foreign` names graders that share no code with ours. Safe to use from several threads."""

    def __init__(self, place: Path, foreign: Collection[str] = ("plain-pytest", "swebench")) -> None:
        self._place = place
        self._codes = dict.fromkeys(foreign, "")  # by grader
        self._lock = threading.Lock()
        self._known: dict[str, Outcome] = {}
        for line in place.read_text("utf-8").splitlines() if place.is_file() else ():
            try:
                row = json.loads(line)
                key = row.pop("key")
                self._known[key] = Outcome(**{**row, "tampering": tuple(row["tampering"])})
            except (ValueError, KeyError, TypeError):
                continue  # the line at which it was cut off

    def known(self, thing: Attack | Fix, task: Task, grader: str) -> Outcome | None:
        """What came of this before. What was not judged then is tried again."""
        found = self._known.get(self._key(thing, task, grader))
        return None if found is None or found.result == "not judged" else found

    def add(self, thing: Attack | Fix, task: Task, outcome: Outcome) -> None:
        row = {"key": self._key(thing, task, outcome.grader), **outcome.as_json()}
        with self._lock:
            self._place.parent.mkdir(parents=True, exist_ok=True)
            with self._place.open("a", encoding="utf-8") as file:
                file.write(f"\n{json.dumps(row)}\n")  # the line before may have been cut off

    def _key(self, thing: Attack | Fix, task: Task, grader: str) -> str:
        if grader not in self._codes:
            self._codes[grader] = _code_of_ones_own(grader) if ":" in grader else _code()
        return json_digest([thing.model_dump(mode="json"), task.digest, grader, self._codes[grader]])


def _code_of_ones_own(grader: str) -> str:
    found = importlib.util.find_spec(grader.partition(":")[0])
    if found is None or not found.has_location or found.origin is None:
        return ""
    return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()


def _code() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(grading.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
