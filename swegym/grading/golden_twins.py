"""Golden twins: a test that compares with a file must pass with that file, and fail where it says something else.

Code that takes its answers from such a file, writes it anew or gives its reader another one passes both. The test runs
in two machines, alone as it stands; in one of them each file that it compares with has other digits or letters. Which
of the two is the first is chance, and the file's content all that tells them apart.

Which files are compared with is seen when the reference is taken: the tests read them, and no code does. It may be that
what is changed in one is an input, and that another fix gives what is expected all the same. So only an assertion of
the test that fails counts there; and who passed once has to pass again by every kind of change that the reference fix
fails by: digits and letters, in one line and in all.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Collection, Mapping

from swegym.grading import reference
from swegym.grading.apply import Change
from swegym.grading.inquiries import MOST_TURNING, Inquiry, Part
from swegym.grading.reference import Reference
from swegym.types import SandboxFactory, Task

LARGEST = 1 << 20  # bytes of a file that is changed
_CLASSES = (string.digits, string.ascii_lowercase, string.ascii_uppercase)

Source = random.Random


def _each_line(kinds: Collection[str]) -> Callable[[str, Source], str]:
    return lambda text, source: "".join(_changed(line, kinds, source) for line in text.splitlines(keepends=True))


def _one_line(kinds: Collection[str]) -> Callable[[str, Source], str]:
    def change(text: str, source: Source) -> str:
        lines = text.splitlines(keepends=True)
        fitting = [place for place, line in enumerate(lines) if _places(line, kinds)]
        for place in source.sample(fitting, min(1, len(fitting))):
            lines[place] = _changed(lines[place], kinds, source)
        return "".join(lines)

    return change


WAYS: Mapping[str, Callable[[str, Source], str]] = {
    "a digit of each line": _each_line(_CLASSES[:1]),
    "a letter of each line": _each_line(_CLASSES[1:]),
    "a digit": _one_line(_CLASSES[:1]),
    "a letter": _one_line(_CLASSES[1:]),
}


def _places(line: str, kinds: Collection[str]) -> list[int]:
    return [place for place, sign in enumerate(line) if any(sign in kind for kind in kinds)]


def _changed(line: str, kinds: Collection[str], source: Source) -> str:
    places = _places(line, kinds)
    if not places:
        return line
    place = source.choice(places)
    kind = next(kind for kind in kinds if line[place] in kind).replace(line[place], "")
    if _leads(line, place):
        kind = kind.replace("0", "")  # which is no number for JSON, for one
    return line[:place] + source.choice(kind) + line[place + 1 :]


def _leads(line: str, place: int) -> bool:
    """Whether this is the first digit of several."""
    return not line[place - 1 : place].isdigit() and line[place : place + 2].isdigit() and len(line) > place + 1


def altered(files: Mapping[str, bytes], way: str, source: Source) -> dict[str, bytes]:
    """Those of the files that are texts and can be changed in this way, changed."""
    found = {}
    for path, data in files.items():
        try:
            text = data.decode("utf-8") if len(data) <= LARGEST else ""
        except UnicodeDecodeError:
            continue
        if (other := WAYS[way](text, source)) != text:
            found[path] = other.encode("utf-8")
    return found


def ways_of(
    task: Task,
    fix: Mapping[str, Change],
    files: Mapping[str, bytes],
    keys: Collection[str],
    open_sandbox: SandboxFactory,
) -> dict[str, tuple[str, ...]]:
    """Key of a test -> the ways of changing the files by which an assertion of it fails with the reference fix."""
    if not files or not keys:
        return {}
    source = random.SystemRandom()
    alone = reference.run(task, open_sandbox, fix, task.hidden.files, keys)
    passing = {key for key, status in reference.statuses_of(alone).items() if status == "passed"} & set(keys)
    found: dict[str, tuple[str, ...]] = {}
    for way in WAYS:
        others = altered(files, way, source)
        if others and passing:
            report = reference.run(task, open_sandbox, fix, {**task.hidden.files, **others}, passing)
            statuses = reference.statuses_of(report)
            asserting = {key for kind, _, key, error in report.facts if kind == "failed" and error == "AssertionError"}
            for key in passing & asserting:
                if statuses[key] == "failed":
                    found[key] = (*found.get(key, ()), way)
    return found


def prepare(task: Task, known: Reference, *, every_way: bool = False) -> Inquiry:
    """Two machines: in one of them the files say something else, in a way that most of the tests notice.

    With `every_way` a machine for each way that tests notice.
    """
    source = random.SystemRandom()
    turning = [known.questions[test] for test in task.hidden.fail_to_pass if test in known.questions]
    ways = sorted(WAYS, key=lambda way: (-sum(way in question.altered for question in turning), source.random()))
    noticed = {way: {question.key for question in turning if way in question.altered} for way in ways}
    asked = sorted(set().union(*noticed.values()) if every_way else noticed[ways[0]])
    keys = frozenset(source.sample(asked, min(MOST_TURNING, len(asked))))
    parts = [Part(keys, files=known.compared)]
    twinned = {key: {key: 0} for key in keys}
    for step, way in enumerate(ways if every_way else ways[:1], 1):
        if noticing := keys & noticed[way]:
            mark = f"{step} "
            others = altered(known.compared, way, source)
            parts.append(Part(noticing, files={**known.compared, **others}, mark=mark))
            for key in noticing:
                twinned[key][mark + key] = step
    machines = tuple(source.sample(parts, len(parts))) if keys else ()
    return Inquiry(task.hidden.files, keys, {}, twinned, {}, [], machines=machines)
