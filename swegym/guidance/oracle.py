"""The oracle teacher: it knows the reference fix and the failing verdict, and says where and what kind, never how.

Privileged. How strong its hints are is a setting: they name the file, the function too, the lines too, or add the plan
and a reading of the last attempt. The plan names the function that misbehaves and the class of change; the feedback
reads the last attempt against the fix; places are told in base line numbers. It needs no model, and says the same every
time.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal

import pydantic

from swegym.config import Config
from swegym.errors import PatchError
from swegym.guidance.changes import Place, places
from swegym.guidance.kinds import MODULE
from swegym.guidance.message import PARTS
from swegym.guidance.sight import Question
from swegym.types import Guidance, Task, Trajectory, Verdict

# Named in a hint; no others, and one at a time. An attempt's code runs beside the hidden tests and may raise what it
# likes: names of its own, or a choice among many, would tell the next attempt what these expect.
_USUAL = (
    "AssertionError",
    "AttributeError",
    "ImportError",
    "IndexError",
    "KeyError",
    "NameError",
    "TypeError",
    "ValueError",
)
_ENDINGS = {
    "turns": "it ran out of turns; go to the place named below sooner",
    "seconds": "it ran out of time; run fewer and shorter commands",
    "tokens": "it ran out of tokens; read less at a time",
}


Strength = Literal["file", "function", "line", "plan"]
STRENGTHS: tuple[Strength, ...] = ("file", "function", "line", "plan")


class OracleOptions(Config):
    strength: Strength = "plan"
    """What a hint tells: the file; and the function; and the lines; and what to change there, in words."""
    parts: tuple[str, ...] = tuple(PARTS)
    """Which parts a hint has: plan, environment_feedback, interaction."""
    places: int = pydantic.Field(3, ge=1)
    """How many places the interaction part names at most, most edited first."""


def oracle(options: OracleOptions, question: Question) -> Guidance | None:
    task, attempt = question.task, question.attempt
    fix = places(task, task.gold_patch)
    # A place without a kind is a changed comment, where anything else is a place too.
    fix = [place for place in fix if place.kinds] or fix
    if not fix:
        return None
    named = dict.fromkeys(look_at(place, options.strength) for place in fix[: options.places])
    written = {"interaction": "\n".join(named)}
    if options.strength == "plan":
        written["plan"] = _plan(fix)
        written["environment_feedback"] = _feedback(task, attempt, attempt.verdict, fix)
    parts = {name: written[name] for name in PARTS if name in options.parts and written.get(name)}
    return Guidance("oracle", parts, privileged=True) if parts else None


def look_at(place: Place, strength: Strength = "line") -> str:
    """The line of a hint that names a place, as exactly as its strength allows."""
    told = f"Look at: {place.path}"
    if strength != "file":
        told += f", function {place.function}"
    if strength in ("line", "plan"):
        told += f", lines {place.first}-{place.last}"
    return told


def _plan(fix: list[Place]) -> str:
    first, *rest = fix
    sentences = [f"{_subject(first)} misbehaves. {_kinds(first)}"]
    if rest:
        named = ", ".join(dict.fromkeys(_subject(place, inline=True) for place in rest[:4]))
        more = f" and {len(rest) - 4} more" if len(rest) > 4 else ""
        sentences.append(f"The change is not complete without {named}{more}.")
        kinds = [kind for place in rest for kind in place.kinds if kind not in first.kinds]
        if kinds:
            sentences.append(f"There: {_listed(list(dict.fromkeys(kinds))[:3])}.")
    size = sum(place.weight for place in fix)
    if size <= 6:
        sentences.append("A small edit is enough.")
    elif size <= 60:
        sentences.append(f"Expect to touch about {size} lines.")
    sentences.append("Reproduce the problem first, change that, then run the tests.")
    return " ".join(sentences)


def _subject(place: Place, *, inline: bool = False) -> str:
    if place.function == MODULE:
        return f"{'the' if inline else 'The'} module level of {place.path}"
    return f"{place.function} in {place.path}"


def _kinds(place: Place) -> str:
    if not place.kinds:
        return "Read it closely against the issue."
    return f"What has to change there: {_listed(list(place.kinds[:3]))}."


def _listed(phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{'; '.join(phrases[:-1])}; and {phrases[-1]}"


def _feedback(task: Task, trajectory: Trajectory, verdict: Verdict, fix: list[Place]) -> str:
    """What the last attempt got wrong; empty when there was none. It tells counts and one exception's name."""
    if not trajectory.messages:
        return ""
    said = []
    ending = _ENDINGS.get(trajectory.stop_reason)
    if not trajectory.patch.strip():
        said.append("The last attempt ended without changing anything" + (f": {ending}." if ending else "."))
        return " ".join(said)
    if ending:
        said.append(f"The last attempt did not finish: {ending}.")
    said.append(_where_it_went(task, trajectory.patch, fix))
    said.append(_what_is_still_wrong(task, verdict))
    return " ".join(sentence for sentence in said if sentence)


def _where_it_went(task: Task, patch: str, fix: list[Place]) -> str:
    try:
        made = places(task, patch)
    except (PatchError, RecursionError, MemoryError):  # an expression may be deeper than Python's parser goes
        return "Its patch could not be read."
    if not made:
        return "Its patch changes nothing that runs."
    made_paths, fix_paths = {place.path for place in made}, {place.path for place in fix}
    made_functions = {(place.path, place.function) for place in made}
    right = [place for place in fix if (place.path, place.function) in made_functions]
    if not made_paths & fix_paths:
        return f"It changed {_listed(sorted(made_paths)[:3])}, but the fault lies in another file."
    if not right:
        elsewhere = [place for place in made if place.path in fix_paths]
        return f"It changed {_subject(elsewhere[0], inline=True)}: the right file, but the fault lies elsewhere in it."
    if len(right) < len(fix):
        return (
            f"It changed {_subject(right[0], inline=True)}, which is one of the places, but left others as they were."
        )
    return f"It changed {_subject(right[0], inline=True)}, which is the right place, but not in the right way."


def _what_is_still_wrong(task: Task, verdict: Verdict) -> str:
    if not verdict.statuses:
        return "Its result could not be tested."
    good = {"passed", "xfailed"}
    still = [test for test in task.hidden.fail_to_pass if verdict.statuses.get(test) not in good]
    broken = [test for test in task.hidden.pass_to_pass if verdict.statuses.get(test) not in good | {"skipped"}]
    said = []
    if still:
        said.append(
            f"The behaviour of the issue is still wrong in {len(still)} of {len(task.hidden.fail_to_pass)} checks."
        )
    if broken:
        said.append(f"{len(broken)} checks of behaviour that worked before now fail, so it changes too much.")
    raised = Counter(re.findall(r"^E\s+(?:\w+\.)*(\w+(?:Error|Exception|Warning))\b", verdict.output, re.MULTILINE))
    if raised and (still or broken):
        usual = [name for name, _ in raised.most_common() if name in _USUAL]
        if usual:
            said.append(f"They end in {usual[0]}.")
    return " ".join(said)
