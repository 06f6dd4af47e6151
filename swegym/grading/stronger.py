"""Stronger tests: calls near those of a task's hidden tests, whose answers a fix must share with the reference fix.

A fix may satisfy the hidden tests and no more: a table of their inputs, or one of the broken fixes of `strength.py`
that they do not notice. Here the closed calls of the tests, with one literal changed, are put to the reference fix
(twice), to the bare base and to the broken fixes that pass. A call is kept if the reference fix gives the same plain
value each time and one of the others does not. What raises is not kept: what a wrong call should raise, an issue seldom
says.

The calls and their answers lie in the store beside the reference, never in a task's image. Grading with `grade` sends
the calls alone into a fresh sandbox; the answers are compared outside. Right fixes may differ where neither issue nor
tests say what is right, so these tests are an option, and the verdict names both results.
"""

from __future__ import annotations

import ast
import copy
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from swegym import paths
from swegym.errors import SandboxError, TaskError
from swegym.grading import bindings, expectations, inherited, question_files, reference, replay, sealed
from swegym.grading.apply import Change, apply_patch
from swegym.grading.bindings import Function
from swegym.grading.choices import among_neighbours
from swegym.grading.plain_values import OPAQUE, agrees, content_of, decode
from swegym.grading.strength import MUTANTS, broken_fixes, passes
from swegym.images import store
from swegym.types import SandboxFactory, Task, Verdict

MOST_TRIED = 400  # calls put to the reference fix
MOST_KEPT = 24
ROWS = 6  # of one parametrised test
_EQUAL = {"form": "equal", "operator": "=="}
_NAME = f"{replay.CALL}stronger"
_MEMORISED = "the base with the tests' answers in a table"


@dataclass(frozen=True, slots=True)
class Call:
    """A call, what it needs, the reference fix's answer (`plain_values`), and the wrong fixes that answer otherwise."""

    imports: tuple[str, ...]
    setup: str
    expression: str
    answer: str
    tells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stronger:
    """The stronger tests of a task. `survivors`: the broken fixes that its hidden tests let pass, in words."""

    calls: tuple[Call, ...]
    survivors: tuple[str, ...] = ()
    tried: int = 0

    @property
    def held(self) -> tuple[str, ...]:
        """The survivors that the calls tell from the reference fix."""
        return tuple(name for name in self.survivors if any(name in call.tells for call in self.calls))


def known(task: Task) -> Stronger | None:
    """The stronger tests that were made for this task as it is."""
    try:
        row = json.loads(_place(task).read_bytes())
        calls = tuple(
            Call(**{**call, "imports": tuple(call["imports"]), "tells": tuple(call["tells"])}) for call in row["calls"]
        )
        return Stronger(calls, tuple(row["survivors"]), row["tried"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def strengthen(task: Task, open_sandbox: SandboxFactory, *, mutants: int = MUTANTS) -> Stronger:
    """Make the stronger tests of a task and keep them.

    Raises:
        TaskError: The reference fix does not apply.
        SandboxError: A machine failed.
    """
    made = make(task, open_sandbox, mutants)
    store.write_atomically(_place(task), json.dumps(asdict(made)).encode("ascii"))
    return made


def make(task: Task, open_sandbox: SandboxFactory, mutants: int = MUTANTS) -> Stronger:
    """See `strengthen`. The same task gets the same calls every time."""
    if task.tests.runner != "pytest":
        return Stronger(())
    fix = apply_patch(task, task.gold_patch).changes
    candidates = list(near_calls(task))
    order = random.Random(task.digest)
    candidates = order.sample(candidates, min(MOST_TRIED, len(candidates)))
    if not candidates:
        return Stronger(())
    first, again = (answers(task, fix, candidates, open_sandbox) for _ in range(2))
    steady = {number: text for number, text in first.items() if again.get(number) == text and _plain(text)}
    survivors = [
        (name, changes) for name, _, changes in broken_fixes(task, fix, mutants) if passes(task, changes, open_sandbox)
    ]
    others = {_MEMORISED: answers(task, {}, candidates, open_sandbox)}
    others |= {name: answers(task, changes, candidates, open_sandbox) for name, changes in survivors}
    calls = []
    for number, text in steady.items():
        tells = tuple(name for name, found in others.items() if not _alike(found.get(number), text))
        if tells:
            imports, setup, expression = candidates[number]
            calls.append(Call(imports, setup, expression, text, tells))
    return Stronger(_chosen(calls), tuple(others), len(candidates))


def _chosen(calls: Sequence[Call]) -> tuple[Call, ...]:
    """A few calls, such that each survivor is told by some; those first that tell what few others do."""
    count = {name: sum(name in call.tells for call in calls) for call in calls for name in call.tells}
    kept: list[Call] = []
    for name in sorted(count, key=lambda name: count[name]):
        telling = [call for call in calls if name in call.tells and call not in kept]
        share = max(1, MOST_KEPT // len(count))
        kept += sorted(telling, key=lambda call: -len(call.tells))[:share]
    return tuple(kept[:MOST_KEPT])


# --- calls near those of the tests ------------------------------------------------------------------------------------

Candidate = tuple[tuple[str, ...], str, str]  # imports, setup, expression


def near_calls(task: Task) -> Iterator[Candidate]:
    """The closed calls of the hidden tests, rows of tables filled in, with one literal changed; none twice."""
    original, seen = set(), set()
    found: list[Candidate] = []
    for path in question_files.test_paths(task):
        tree = inherited.tree_of(task, path)
        if tree is None:
            continue
        imports = tuple(replay.imports_of(tree))
        for _, function in expectations.test_functions(tree):
            for filled in islice(_rows(function), ROWS):
                for call in replay.closed_calls(tree, filled):
                    original.add((call.setup, call.expression))
                    found += [(imports, *changed) for changed in _changed(call.setup, call.expression)]
    for candidate in found:
        if candidate[1:] not in original and candidate not in seen:
            seen.add(candidate)
            yield candidate


def _rows(function: Function) -> Iterator[Function]:
    """The test itself, or one for each row of its parametrisation, with the row's cells bound to its names."""
    tables = [table for table in bindings.tables(function) if set(table.names) & _arguments(function)]
    if len(tables) != 1:
        yield function
        return
    (table,) = tables
    columns = [table.cells(name) for name in table.names]
    for row in range(len(table.rows)):
        filled = copy.deepcopy(function)
        filled.decorator_list = []
        filled.args.args = [argument for argument in filled.args.args if argument.arg not in table.names]
        bound: list[ast.stmt] = []
        for name, cells in zip(table.names, columns, strict=True):
            if cells is not None and row < len(cells):
                values, index = cells[row]
                bound.append(ast.Assign([ast.Name(name, ast.Store())], copy.deepcopy(values[index]), lineno=0))
        filled.body = [*bound, *filled.body]
        yield ast.fix_missing_locations(filled)


def _arguments(function: Function) -> set[str]:
    return {argument.arg for argument in function.args.args}


def _changed(setup: str, expression: str) -> Iterator[tuple[str, str]]:
    """A call with each of its literals changed, one at a time."""
    tree = ast.parse(f"{setup}\n({expression})")
    count = sum(1 for _ in _literals(tree))
    for place in range(count):
        for step in range(4):
            other = copy.deepcopy(tree)
            node = next(islice(_literals(other), place, None))
            if not _change(node, step):
                continue
            *before, last = other.body
            assert isinstance(last, ast.Expr)
            yield "\n".join(ast.unparse(statement) for statement in before), ast.unparse(last.value)


def _literals(tree: ast.AST) -> Iterator[ast.Constant | ast.List]:
    for node in ast.walk(tree):
        shortens = isinstance(node, ast.List) and isinstance(node.ctx, ast.Load) and len(node.elts) > 1
        if shortens or (isinstance(node, ast.Constant) and type(node.value) in (int, float, str)):
            yield node  # type: ignore[misc]


def _change(node: ast.Constant | ast.List, step: int) -> bool:
    """Change a literal in the way of this step; False where there is no such way."""
    if isinstance(node, ast.List):
        ways: list[Any] = [node.elts[:-1], [*node.elts, node.elts[0]], node.elts[::-1]]
        if step < len(ways):
            node.elts = ways[step]
        return step < len(ways)
    value = node.value
    if isinstance(value, str):
        middle = len(value) // 2
        ways = [value[:middle], value + value[:middle], value[middle:] + value[:middle], value.swapcase()]
    else:
        assert isinstance(value, int | float)
        ways = [value + 1, value - 1, value * 3 + 2, -value]
    if ways[step] == value:
        return False
    node.value = ways[step]
    return True


# --- runs -------------------------------------------------------------------------------------------------------------


def answers(
    task: Task, changes: Mapping[str, Change], calls: Sequence[Candidate], open_sandbox: SandboxFactory
) -> dict[int, str]:
    """What each call gives over a changed tree; a call that raised or was not reached is left out or opaque."""
    groups: dict[tuple[str, ...], list[tuple[int, str, str]]] = {}
    for number, (imports, setup, expression) in enumerate(calls):
        groups.setdefault(imports, []).append((number, setup, expression))
    jobs = [{"name": _NAME, "imports": list(imports), "calls": found} for imports, found in groups.items()]
    tests = question_files.test_paths(task)
    report = reference.run(task, open_sandbox, changes, question_files.other_files(task, tests), (), jobs)
    given = reference.answers_of(report).get(_NAME, {})
    return {number: given[str(number)][0] for number in range(len(calls)) if given.get(str(number))}


def _plain(text: str) -> bool:
    return decode(text) is not OPAQUE


def _alike(text: str | None, wanted: str) -> bool:
    given = OPAQUE if text is None else decode(text)
    given = content_of(text) if text is not None and given is OPAQUE else given
    return agrees(_EQUAL, given, decode(wanted))


def _place(task: Task) -> Path:
    return paths.integrity() / f"{reference.key_of(task)}.stronger.json"


# --- the grader -------------------------------------------------------------------------------------------------------


def grade(task: Task, patch: str, open_sandbox: SandboxFactory) -> Verdict:
    """The strict grader, and for what it resolves the task's stronger tests, which are required then.

    `integrity["stronger"]` says how many there are and how many did not hold, `integrity["original"]` what the hidden
    tests alone came to. A call counts as failed if it fails twice; an object with an equality of its own must be equal
    to the answer and to none near it. A task without stronger tests is judged by its hidden tests, and a note says so.
    """
    verdict = sealed.grade(task, patch, open_sandbox)
    made = known(task)
    if made is None or not made.calls:
        note = f"{task.id} has no stronger tests; `swegym tasks strengthen {task.set}` makes them"
        return replace(verdict, notes=(*verdict.notes, note))
    integrity = {**verdict.integrity, "original": verdict.resolved}
    if not verdict.resolved:
        return replace(verdict, integrity={**integrity, "stronger": {"tests": len(made.calls)}})
    try:
        patient = reference.patient(task, verdict.seconds.get("run", 0.0))
        failed = failing(patient, patch, made, open_sandbox)
    except SandboxError as error:
        reason = f"its tests passed, but the sandbox of the stronger tests failed: {error}"
        return replace(verdict, resolved=None, cause="sandbox", reason=reason, integrity=integrity)
    except TaskError as error:
        return replace(verdict, resolved=None, cause="task", reason=str(error), integrity=integrity)
    integrity["stronger"] = {"tests": len(made.calls), "failed": [call.expression for call in failed]}
    if failed:
        reason = f"its tests passed, but {len(failed)} of {len(made.calls)} stronger tests did not"
        return replace(verdict, resolved=False, cause="agent", reason=reason, integrity=integrity)
    return replace(verdict, integrity=integrity)


def failing(task: Task, patch: str, made: Stronger, open_sandbox: SandboxFactory) -> list[Call]:
    """The calls that twice gave another plain value than the reference fix, or none."""
    changes = apply_patch(task, patch).changes
    left = list(made.calls)
    for _ in range(2):
        if not left:
            break
        asked = [(call.imports, call.setup, call.expression) for call in left]
        with store.exclusive(reference.gate(task)):
            given = answers(task, changes, asked, open_sandbox)
            opaque = [call for number, call in enumerate(left) if _of_its_own(given.get(number))]
            equal = _equal_to_their_answers(task, changes, opaque, open_sandbox) if opaque else []
        left = [
            call for number, call in enumerate(left) if not _alike(given.get(number), call.answer) and call not in equal
        ]
    return left


def _equal_to_their_answers(
    task: Task, changes: Mapping[str, Change], calls: Sequence[Call], open_sandbox: SandboxFactory
) -> list[Call]:
    """Of calls that give an object with an equality of its own, those that are equal to their answer and no other.

    The answer stands among its neighbours, so that a guess is seldom right. This is the only case in which answers
    enter a machine. What has no literal (an infinity) is believed.
    """
    source = random.SystemRandom()
    found = {call: among_neighbours(decode(call.answer), source) for call in calls}
    placed = {call: choice for call, choice in found.items() if choice is not None}
    asked = [
        (call.imports, call.setup, f"[bool(({call.expression}) == _other) for _other in [{', '.join(literals)}]]")
        for call, (literals, _) in placed.items()
    ]
    given = answers(task, changes, asked, open_sandbox) if asked else {}
    wrong = {
        call
        for number, (call, (_, wanted)) in enumerate(placed.items())
        if number not in given or decode(given[number]) != wanted
    }
    return [call for call in calls if call not in wrong]


def _of_its_own(text: str | None) -> bool:
    """Whether an answer is an object that nobody can compare, and no exception; nor what nobody who encodes sends."""
    try:
        kind, content, *_ = json.loads(text) if text is not None else ("none", None)
    except (ValueError, TypeError, RecursionError):
        return False
    return bool(kind == "opaque" and not str(content).endswith(("Error", "Exception")))
