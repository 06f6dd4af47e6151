"""Question files: hidden test files as they enter a sandbox to ask, and what they need beside them.

No other test file goes along, unless it is imported: what it holds might be an answer.
"""

from __future__ import annotations

import ast
import functools
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swegym.grading import expectations, inherited, replay, seals, twins
from swegym.types import Task

MOST_TWINNED = 40  # test functions of one task that must turn from failing to passing and get twins
OTHERS_TWINNED = 8  # and of those that must go on passing
MARK = "__swegym_"  # between a test's name and the number of its copy


def other_files(task: Task, replaced: Collection[str]) -> dict[str, bytes]:
    """The hidden files that a run of `replaced` ones needs beside them.

    Another test file goes along only if one of them imports it, or what they import does; without its tests.
    """
    tests = set(test_paths(task)) | {path for path in task.hidden.files if _is_test_file(path)}
    kept = [path for path in task.hidden.files if path not in replaced and path not in tests]
    waiting = [*replaced, *kept]
    while waiting:
        names = frozenset().union(*(_imported_names(task.hidden.files[path]) for path in waiting if _is_code(path)))
        found = [path for path in tests - {*replaced, *kept} if _stem(path) in names]
        kept, waiting = [*kept, *found], found
    stripped = (inherited.lenders(task, test_paths(task)) | tests) & set(kept)
    return {path: _without_tests(task, path) if path in stripped else task.hidden.files[path] for path in kept}


def _without_tests(task: Task, path: str) -> bytes:
    """A file whose tests are asked elsewhere, or not at all: what they expect stays away."""
    source = inherited.source_of(task, path) if path in test_paths(task) else task.hidden.files[path]
    tree = expectations.parse(source)
    if tree is None:
        return source
    taken = taken_by_others(task, path)
    seals.only(tree, taken)
    seals.drop_constants(tree, taken)
    return ast.unparse(tree).encode("utf-8", "surrogateescape") + b"\n"


def taken_by_others(task: Task, path: str) -> frozenset[str]:
    """The names that other hidden files may take from one: those they import, or attributes of what they import.

    A fixture need not import the file of the test that asks for it (`request.module`), which may be its own.
    """
    module = _stem(path) if _stem(path) != "__init__" else path.rpartition("/")[0].rpartition("/")[2]
    names: set[str] = set()
    tests = set(test_paths(task))
    for other in filter(_is_code, task.hidden.files):
        imports, attributes, loaded = _uses(task.hidden.files[other])
        if other in tests and any(_last(origin) == module for origin, _ in imports):
            imports, attributes, loaded = _uses(inherited.source_of(task, other))
        if "module" in attributes:
            names |= attributes
        if other != path:
            names |= {name for origin, name in imports if name and _last(origin) in (module, "")}
            if any(module == (name or _last(origin)) for origin, name in imports):
                names |= attributes
            if any(_last(origin) == module and name == "*" for origin, name in imports):
                names |= loaded
    return frozenset(names)


@functools.lru_cache(maxsize=4096)
def _uses(source: bytes) -> tuple[frozenset[tuple[str, str]], frozenset[str], frozenset[str]]:
    """What a file uses of others, as far as names tell.

    (module, name imported from it) of each import, "" where there is none; attributes, those that `getattr` is given by
    name among them; names that it reads.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # of another Python
        return frozenset(), frozenset(), frozenset()
    imports: set[tuple[str, str]] = set()
    attributes, loaded = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imports |= {(node.module or "", alias.name) for alias in node.names}
        elif isinstance(node, ast.Attribute):
            attributes.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            loaded.add(node.id)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            attributes |= {str(one.value) for one in node.args[1:2] if isinstance(one, ast.Constant)}
    return frozenset(imports), frozenset(attributes), frozenset(loaded)


def _is_code(path: str) -> bool:
    return path.endswith(".py")


def _last(module: str) -> str:
    return module.rpartition(".")[2]


def _stem(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".py")


def _is_test_file(path: str) -> bool:
    return _is_code(path) and (_stem(path).startswith("test_") or _stem(path).endswith("_test"))


def _imported_names(source: bytes) -> frozenset[str]:
    """The parts of the names of what a file imports."""
    imports, _, _ = _uses(source)
    return frozenset(part for origin, name in imports for part in (*origin.split("."), name))


def test_paths(task: Task) -> list[str]:
    paths_ = dict.fromkeys(test.split("::")[0] for test in task.hidden.expected)
    return [path for path in paths_ if path in task.hidden.files and _is_code(path)]


@dataclass(frozen=True, slots=True)
class SealedFiles:
    """Hidden files whose tests ask. `checks`: path -> test name -> site -> check."""

    files: dict[str, bytes]
    checks: dict[str, Mapping[str, Mapping[int, dict[str, Any]]]]


def sealed_files(
    task: Task, wanted: Collection[str], allowed: Mapping[str, Mapping[str, Collection[int]]] | None
) -> SealedFiles:
    names: dict[str, set[str]] = {}
    for key in wanted:
        path, _, rest = key.partition("::")
        names.setdefault(path, set()).add(rest.split("|", 1)[0])
    files, checks = {}, {}
    for path, found in names.items():
        tree = inherited.tree_of(task, path)
        if tree is not None:
            taken = taken_by_others(task, path)
            sealed = seals.seal(tree, found, None if allowed is None else allowed.get(path, {}), taken)
            files[path], checks[path] = seals.finished(sealed.tree, taken), sealed.checks
    return SealedFiles({**other_files(task, files), **files}, checks)


def calls_of(task: Task, wanted: Collection[str]) -> list[dict[str, Any]]:
    groups = []
    for path in sorted({key.split("::")[0] for key in wanted}):
        tree = inherited.tree_of(task, path)
        names = {key.split("::", 1)[1] for key in wanted if key.startswith(f"{path}::") and "|" not in key}
        if tree is None:
            continue
        found = {
            name: replay.closed_calls(tree, function)
            for name, function in expectations.test_functions(tree)
            if name in names
        }
        groups += replay.group(path, tree, found)
    return groups


@dataclass(frozen=True, slots=True)
class Twinned:
    """Hidden files with all twins beside the tests.

    `made`: path::name -> site -> step -> name of the twin. `ends`: path::name -> the site that is its end, if any.
    """

    files: dict[str, bytes]
    made: dict[str, dict[int, dict[int, str]]]
    ends: dict[str, int]

    def kept(self, key: str, statuses: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
        """Site -> its twins that fail with the reference fix, where the same without a change passes."""
        base, separator, parameters = key.partition("|")
        found = {}
        for site, names in self.made.get(base, {}).items():
            outcomes = {step: statuses.get(f"{name}{separator}{parameters}", "missing") for step, name in names.items()}
            steps = tuple(step for step, outcome in sorted(outcomes.items()) if step and outcome == "failed")
            if steps and outcomes[0] == "passed":
                found[str(site)] = steps
        return found


def with_all_twins(
    task: Task,
    trees: Mapping[str, ast.Module],
    first: Mapping[str, Collection[int]],
    undecorated: Collection[str] = (),
) -> Twinned:
    """`first`: path::name -> sites of that test that come first. Where not all get twins, nobody knows which do.

    In the files `undecorated` tests with a decorator get none.
    """
    made: dict[str, dict[int, dict[int, str]]] = {}
    ends: dict[str, int] = {}
    files = {}
    turning = list(dict.fromkeys(test.split("[")[0] for test in task.hidden.fail_to_pass))
    staying = list(dict.fromkeys(test.split("[")[0] for test in task.hidden.pass_to_pass))
    wanted = frozenset(some_of(turning, MOST_TWINNED) + some_of(staying, OTHERS_TWINNED))
    for path, tree in trees.items():
        names = frozenset(test.split("::", 1)[1] for test in wanted if test.startswith(f"{path}::"))
        additions = []
        for name, function, body in twins.pairs(tree, names):
            if function.decorator_list and path in undecorated:
                continue
            prefix = f"{path}::{name}".removesuffix(function.name)
            wanted_first = first.get(f"{path}::{name}", ())
            for site, steps in twins.twinned_sites(tree, function, seals.is_sealable, wanted_first):
                called = {step: f"{function.name}{MARK}{site.number}_{step}" for step in steps}
                if site.is_end:
                    ends[f"{path}::{name}"] = site.number
                additions += [
                    (body, twins.variant(tree, function, {site.number: step}, other, alone=True))
                    for step, other in called.items()
                ]
                made.setdefault(f"{path}::{name}", {})[site.number] = {
                    step: prefix + other for step, other in called.items()
                }
        for body, other in additions:
            body.append(other)
        if additions:
            files[path] = ast.unparse(tree).encode("utf-8", "surrogateescape") + b"\n"
    return Twinned(files, made, ends)


def some_of(tests: Sequence[str], most: int) -> list[str]:
    """All of them in order, or where these are too many some, drawn."""
    if len(tests) <= most:
        return list(tests)
    kept = frozenset(random.SystemRandom().sample(range(len(tests)), most))
    return [test for place, test in enumerate(tests) if place in kept]


def drawn(
    sites: Mapping[str, tuple[int, ...]], asked: Collection[str], spots: int, most_steps: int
) -> dict[int, list[int]]:
    """Some of the sites that a test has twins at, with steps, for one run; first those that are not asked otherwise.

    One site has all its steps. Of several, `spots` at most, each has `most_steps`: the copies are multiplied.
    """
    source = random.SystemRandom()
    chosen = sorted(sites, key=lambda site: (site in asked, source.random()))[:spots]
    if len(chosen) == 1:
        return {int(chosen[0]): list(sites[chosen[0]])}
    near = {site: twins.window(sites[site], source) for site in chosen}
    return {int(site): source.sample(steps, min(most_steps, len(steps))) for site, steps in near.items()}


def add_twins(tree: ast.Module, chosen: Mapping[str, Mapping[int, Sequence[int]]]) -> dict[str, dict[str, twins.Copy]]:
    """Put tests and their twins in place of tests, in random order; returns test name -> name there -> what it is.

    `chosen`: test name -> sites -> steps. Raises nothing where a test is not in the file; it is then not in what comes
    back.
    """
    source = random.SystemRandom()
    placed: dict[str, dict[str, twins.Copy]] = {}
    additions = []
    for name, function, body in twins.pairs(tree, frozenset(chosen)):
        prefix = name.removesuffix(function.name)
        copies = []
        for place, made in enumerate(twins.copies(tree, function, chosen[name], source)):
            other = f"{function.name}{MARK}{place}"
            copies.append(twins.variant(tree, function, made.steps, other, rows=made.rows))
            placed.setdefault(name, {})[prefix + other] = made
        additions.append((body, function, copies))
    for body, function, copies in additions:
        index = body.index(function)
        body[index : index + 1] = copies
    return placed
